"""What a PPO step costs: ours against TRL 1.12's, the same model, answers and epochs, every weight trained, float32.

Each side runs in a process of its own from the same weights; no answer ends early and no prompt is padded, so all
compute the same tokens. None of our steps ends early on KL, as TRL's cannot. With --rounds all sides run so many times,
in turn, and medians are told: a machine that slows down then slows every side.

`ours` has the value head on the policy's trunk, as is our default; `ours_separate` has a value network of its own, as
TRL has; `ours_lora` trains adapters of rank 16 beside every matrix of the layers.

    python benchmarks/ppo_step.py                          # the shape of SmolLM2-135M, random weights
    python benchmarks/ppo_step.py --model tiny             # the scripted task's model
    python benchmarks/ppo_step.py --model FOLDER --json    # any Llama-like model of the transformers library

TRL 1.12.0 is the last with PPO; name the interpreter of an environment that has it in TRL_PPO_PYTHON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.flops import peak_flops, step_flops
from benchmarks.ppo_work import Told, Work, build, run_if_it_can, run_trl, typical

OURS: dict[str, dict[str, Any]] = {
    "ours": {"every_epoch": True},
    "ours_separate": {"every_epoch": True, "value_network": "separate"},
    "ours_lora": {"every_epoch": True, "lora_rank": 16},
}
MEASURED = ("cpu_seconds_per_step", "seconds_per_step", "response_tokens_per_second", "peak_rss_mib")


def measure(
    work: Work, *, with_trl: bool, rounds: int = 1, variants: Sequence[str] = tuple(OURS)
) -> dict[str, dict[str, Any] | None]:
    """Every side from the same weights, one after the other, round by round."""
    with tempfile.TemporaryDirectory() as made:
        folder = build(work, Path(made))
        return over_rounds([one_round(work, folder, variants, with_trl=with_trl) for _ in range(rounds)])


def one_round(work: Work, folder: Path, variants: Sequence[str], *, with_trl: bool) -> dict[str, dict[str, Any] | None]:
    sides = {name: run_if_it_can("ppo_ours.py", work, folder, **OURS[name]) for name in variants}
    found = {**sides, "trl": run_trl(work, folder) if with_trl else None}
    return {name: None if told is None else row(told, work, name) for name, told in found.items()}


def over_rounds(found: list[dict[str, dict[str, Any] | None]]) -> dict[str, dict[str, Any] | None]:
    """Each side's first row with what a machine's mood changes as medians; `rounds` lists what they are of."""
    return {name: None if found[0][name] is None else _median_row([told[name] for told in found]) for name in found[0]}


def _median_row(rows: list[Any]) -> dict[str, Any]:
    medians = {name: median(row[name] for row in rows) for name in MEASURED}
    phases = {name: median(row["phases"][name] for row in rows) for name in rows[0]["phases"] or {}}
    rounds = {name: [row[name] for row in rows] for name in MEASURED}
    return {**rows[0], **medians, "phases": phases or None, "rounds": rounds}


def row(told: Told, work: Work, side: str) -> dict[str, Any]:
    """phases: median wall-clock seconds of a step's parts. mfu: of the whole step. Score and KL are of each rollout."""
    seconds = typical(told.seconds)
    asked = step_flops(work, value_network=side in ("ours_separate", "trl"), adapters=side == "ours_lora")
    peak = peak_flops(told.device)
    tokens = work.batch * work.new_tokens
    return {
        "device": told.device,
        "flops_per_step": asked and sum(asked.values()),
        "mfu": asked and peak and work.bfloat16 and sum(asked.values()) / seconds / peak,
        "phase_tokens_per_second": {name: tokens / took for name, took in (told.phases or {}).items() if took > 0},
        "cpu_seconds_per_step": typical(told.cpu_seconds),
        "seconds_per_step": seconds,
        "response_tokens_per_second": tokens / seconds,
        "peak_rss_mib": told.peak_rss_mib,
        "peak_device_mib": told.peak_device_mib,
        "phases": told.phases,
        "score": told.score,
        "kl_nats_per_sequence": told.kl_nats_per_sequence,
        "versions": told.versions,
    }


def as_text(work: Work, found: dict[str, dict[str, Any] | None]) -> str:
    lines = [
        f"{work.model}: {work.batch} answers of {work.new_tokens} tokens to prompts of {work.prompt_tokens}, "
        f"{work.epochs} epochs, {'bfloat16' if work.bfloat16 else 'float32'}, {work.threads} threads, {work.device}",
        f"{'':<16}{'CPU s a step':>14}{'s a step':>10}{'peak MiB':>10}{'GPU MiB':>9}{'MFU':>8}{'score':>8}"
        "  seconds by phase",
    ]
    for side, told in found.items():
        if told is not None:
            device = told["peak_device_mib"]
            phases = ", ".join(f"{name} {seconds:.2f}" for name, seconds in (told["phases"] or {}).items())
            lines.append(
                f"{side:<16}{told['cpu_seconds_per_step']:>14.3f}{told['seconds_per_step']:>10.3f}"
                f"{told['peak_rss_mib']:>10.0f}{'-' if device is None else f'{device:.0f}':>9}"
                f"{'-' if not told['mfu'] else format(told['mfu'], '.1%'):>8}{told['score'][-1]:>8.3f}  {phases}"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="smollm2", help="tiny, smollm2, llama1b (random weights), or a folder")
    parser.add_argument("--steps", type=int, help="default: 4, 20 for tiny; the first is left out of the medians")
    parser.add_argument("--batch", type=int, help="answers a step (default: 8, 64 for tiny)")
    parser.add_argument("--prompt-tokens", type=int, help="default: 16, 8 for tiny")
    parser.add_argument("--new-tokens", type=int, help="default: 32, 16 for tiny")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, help="default: 3e-5, 1e-3 for tiny")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--variants", nargs="+", default=list(OURS), choices=tuple(OURS), help="of ours (default: all)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--bfloat16", action="store_true", help="autocast; ours draws from a bfloat16 copy")
    parser.add_argument("--no-trl", action="store_true", help="ours alone")
    parser.add_argument("--json", action="store_true", help="JSON on stdout, the table on stderr")
    options = parser.parse_args()
    tiny = options.model == "tiny"
    work = Work(
        model=options.model, steps=options.steps or (20 if tiny else 4), batch=options.batch or (64 if tiny else 8),
        prompt_tokens=options.prompt_tokens or (8 if tiny else 16),
        new_tokens=options.new_tokens or (16 if tiny else 32), epochs=options.epochs,
        learning_rate=options.learning_rate or (1e-3 if tiny else 3e-5), threads=options.threads,
        device=options.device, bfloat16=options.bfloat16,
    )  # fmt: skip
    found = measure(work, with_trl=not options.no_trl, rounds=options.rounds, variants=options.variants)
    print(as_text(work, found), file=sys.stderr if options.json else sys.stdout)
    if options.json:
        print(json.dumps(found, indent=1))
    sys.exit(any(found[name] is None for name in options.variants))


if __name__ == "__main__":
    main()
