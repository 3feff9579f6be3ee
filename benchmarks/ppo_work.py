"""The work that both sides of the PPO benchmarks do: a model, prompts of odd token ids, answers of a fixed length.

The reward is the share of even ids among an answer's tokens: .5 at random, 1 at best. No answer ends early, and padding
never comes into it: all prompts are equally long. Imports neither side, so each can use it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.shapes import SHAPES

HERE = Path(__file__).resolve().parent
TRL_VERSION = "1.12.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One training run."""

    model: str
    steps: int
    batch: int
    prompt_tokens: int
    new_tokens: int
    learning_rate: float
    epochs: int = 4
    kl_coefficient: float = 0.02
    seed: int = 0
    threads: int = 2
    device: str = "cpu"
    bfloat16: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a side says of its run. Lists have one number a step; scores and KL are of the rollout of that step."""

    score: list[float]
    kl_nats_per_sequence: list[float]
    cpu_seconds: list[float]
    seconds: list[float]
    peak_rss_mib: float
    peak_device_mib: float | None
    phases: dict[str, float] | None
    versions: dict[str, str]
    device: str


def prompts(work: Work, vocabulary: int) -> list[list[int]]:
    """Prompts of odd ids: none of them is worth anything as an answer."""
    import torch

    source = torch.Generator().manual_seed(work.seed)
    count = max(64, 2 * work.batch)
    drawn = torch.randint(4, (vocabulary - 2) // 2, (count, work.prompt_tokens), generator=source)
    found: list[list[int]] = (2 * drawn + 1).tolist()
    return found


def build(work: Work, folder: Path) -> Path:
    """The folder of the model; a shape's name makes random weights of it, the same for both sides."""
    if work.model not in SHAPES:
        return Path(work.model)
    from reward.training.process import loading

    with loading():
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(work.seed)
    LlamaForCausalLM(LlamaConfig(**SHAPES[work.model], eos_token_id=1, bos_token_id=3)).save_pretrained(folder)
    return folder


def typical(values: Sequence[float]) -> float:
    """The median without the first step, which touches memory for the first time, where there are others."""
    return statistics.median(values[1:] or values)


class SideFailed(SystemExit):
    """A side's process ended without a result; who does not catch this ends with its sentence."""


def run_side(script: str, work: Work, folder: Path, *, python: str = sys.executable, **more: Any) -> Told:
    """One side in a process of its own.

    Raises:
        SideFailed: with the last line that it wrote.
    """
    with tempfile.TemporaryDirectory() as made:
        out = Path(made, "told.json")
        given = {"work": asdict(work), "folder": str(folder), "out": str(out), **more}
        command = [python, str(HERE / script), json.dumps(given)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=made, check=False, env=_environment())
        if done.returncode == 0:
            return Told(**json.loads(out.read_text()))
    reason = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit status {done.returncode}"
    raise SideFailed(f"{script}: {reason}")


def run_trl(work: Work, folder: Path) -> Told | None:
    """TRL's side, by the interpreter that `TRL_PPO_PYTHON` names, else this one; None where it is absent or fails."""
    python = os.environ.get("TRL_PPO_PYTHON", sys.executable)
    asked = [python, "-c", "from importlib.metadata import version; print(version('trl'))"]
    found = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() or "none"
    if found == TRL_VERSION:
        return run_if_it_can("ppo_trl.py", work, folder, python=python)
    print(f"left out: TRL {TRL_VERSION}, the last with PPO ({python} has {found})", file=sys.stderr)
    return None


def run_if_it_can(script: str, work: Work, folder: Path, **more: Any) -> Told | None:
    """A side that fails, for want of memory perhaps, takes no other with it: None, and why on stderr."""
    try:
        return run_side(script, work, folder, **more)
    except SideFailed as failed:
        print(f"left out: {failed}", file=sys.stderr)
        return None


def device_name(work: Work) -> str:
    """What the work runs on, by its maker's name; cpu."""
    import torch

    return "cpu" if work.device == "cpu" else str(torch.cuda.get_device_name())


def write(told: Told, out: str) -> None:
    """Leave what a side has to say where `run_side` looks for it."""
    Path(out).write_text(json.dumps(asdict(told)))


def _environment() -> dict[str, str]:
    quiet = {"HF_HUB_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1", "TOKENIZERS_PARALLELISM": "false"}
    # A thread that spins at a barrier keeps the other one from reaching it.
    return {**os.environ, **quiet, "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}
