"""Whole runs through a run directory on a tiny model: their settings, how they are carried out and what they told."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from policy.training.ppo_job import train_policy
from reward.training.rundir import Outcome, RunDirectory
from tests.tiny import DEVICE

TEXTS = ("Name a colour.", "Why is the sky blue?", "Say hello.", "What hangs still?", "Who ranks?", "Which line?")
TINY_PPO: dict[str, Any] = {
    "steps": 6, "answers_per_step": 4, "max_new_tokens": 6, "eval_every": 2, "checkpoint_every_steps": 2,
    "kl": {"controller": "adaptive", "leash_kl_nats_per_sequence": None},
    "credit": {"running_std": True},
    "update": {"epochs": 2, "mini_batches": 2, "micro_batch_size": 2, "learning_rate": 1e-2},
}  # fmt: skip


def write_prompts(path: Path, splits: tuple[str, ...] = ("train",) * 4 + ("validation",) * 2) -> Path:
    rows = [
        {"id": str(uuid.UUID(int=i)), "split": split, "messages": [{"role": "user", "content": text}]}
        for i, (split, text) in enumerate(zip(splits, TEXTS, strict=False))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_run(path: Path, kind: str, inputs: dict[str, Path], config: dict[str, Any]) -> Path:
    """A run directory as a launcher leaves it."""
    path.mkdir()
    spec = {
        "format": 1, "run": str(uuid.UUID(int=7)), "kind": kind, "attempt": 1, "seed": 3, "config": config,
        "inputs": {key: {"path": str(value), "sha256": ""} for key, value in inputs.items()},
        "threads": 1, "device": DEVICE,
    }  # fmt: skip
    (path / "run.json").write_text(json.dumps(spec))
    return path


def carry_out(path: Path, handler: Callable[[RunDirectory], Outcome] = train_policy) -> Outcome:
    run = RunDirectory.open(path)
    try:
        return handler(run)
    finally:
        run.close()


def told(path: Path) -> list[dict[str, Any]]:
    """Events without what differs between any two runs: times, and how often progress was written."""
    events = [json.loads(line) for line in (path / "events.jsonl").read_text().splitlines()]
    for event in events:
        event.pop("time")
        if event["type"] == "metrics":
            event["metrics"] = {k: v for k, v in event["metrics"].items() if not k.endswith("_seconds")}
    return [event for event in events if event["type"] != "progress"]
