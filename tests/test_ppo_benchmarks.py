"""The PPO benchmarks run and print what their documentation says; what they measure is no test's business."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.flops import peak_flops, step_flops
from benchmarks.ppo_work import Work, prompts
from benchmarks.shapes import SHAPES

ROOT = Path(__file__).resolve().parent.parent


def measured(script: str, *arguments: str) -> Any:
    command = [sys.executable, f"benchmarks/{script}", "--threads", "1", "--json", *arguments]
    # This environment's TRL has no PPO, so its side is left out.
    environment = {**os.environ, "TRL_PPO_PYTHON": sys.executable}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env=environment)
    assert "left out: TRL 1.12.0, the last with PPO" in done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_step_is_measured_with_and_without_a_value_network_of_its_own() -> None:
    variants = ("ours", "ours_separate")
    found = measured("ppo_step.py", "--model", "tiny", "--steps", "2", "--batch", "4", "--variants", *variants)

    assert found["trl"] is None
    for side in variants:
        told = found[side]
        assert told["cpu_seconds_per_step"] > 0
        assert told["peak_rss_mib"] > 50
        assert told["phases"].keys() == {"act", "score", "judge", "credit", "learn"}
        assert sum(told["phases"].values()) <= told["seconds_per_step"] * 1.01
        assert (told["device"], told["mfu"]) == ("cpu", None)
    asked = {name: row["flops_per_step"] for name, row in found.items() if row}
    assert asked["ours_separate"] > asked["ours"]


def test_flops_are_two_a_weight_and_token_of_every_pass() -> None:
    work = Work(model="tiny", steps=1, batch=3, prompt_tokens=5, new_tokens=7, learning_rate=1.0, epochs=4)
    model = LlamaForCausalLM(LlamaConfig(**SHAPES["tiny"]))
    head = model.lm_head.weight.numel()
    trunk = sum(p.numel() for p in model.model.layers.parameters() if p.dim() == 2)

    asked = step_flops(work)

    forward = 2 * (trunk * 3 * 11 + head * 3 * 7)
    assert asked == {"act": forward, "judge": 2 * forward, "learn": 4 * 3 * forward}
    assert step_flops(work, adapters=True) == {**asked, "learn": 4 * 2 * forward}
    assert step_flops(replace(work, model="a/folder")) is None
    assert (peak_flops("NVIDIA H200"), peak_flops("cpu")) == (989e12, None)


@pytest.mark.slow
def test_the_scripted_task_tells_every_seeds_score_at_every_step() -> None:
    (row,) = measured("ppo_scripted.py", "--seeds", "1", "--steps", "3")

    assert (row["seed"], row["trl"]) == (0, None)
    assert len(row["score"]) == 3
    assert all(0.3 < score < 0.7 for score in row["score"])
    assert row["kl_nats_per_sequence"][0] == pytest.approx(0, abs=1e-4)
    assert row["final_kl_nats_per_sequence"] == row["kl_nats_per_sequence"][-1] > 0


def test_prompts_are_of_odd_ids_the_same_for_a_seed() -> None:
    work = Work(model="tiny", steps=1, batch=40, prompt_tokens=8, new_tokens=1, learning_rate=1.0)

    drawn = prompts(work, 512)

    assert drawn == prompts(work, 512)
    assert (len(drawn), {len(prompt) for prompt in drawn}) == (80, {8})
    assert all(token % 2 == 1 and 3 < token < 512 for prompt in drawn for token in prompt)
