"""A tiny base model and groups of ranked answers on which length decides, more or less."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tiny import DEVICE, build_tiny_model

WORDS = ("the", "line", "hangs", "still", "upright", "garden", "colour", "answer", "model", "learns", "people", "rank")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # two threads that share a busy core wait for each other most of the time


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("tiny"))


def make_group(number: int, split: str, *, answers: int = 3, labelers: int = 3) -> dict[str, Any]:
    """A group in which an answer with fewer words wins; every labeler errs in a tenth of the pairs."""
    source = random.Random(number)
    texts = [" ".join(source.choices(WORDS, k=source.randint(1, 8))) for _ in range(answers)]
    pairs = []
    for labeler in range(labelers):
        for first in range(answers):
            for second in range(first + 1, answers):
                difference = len(texts[second].split()) - len(texts[first].split())
                sign = (difference > 0) - (difference < 0)
                outcome = -sign if source.random() < 0.1 else sign
                pairs.append({"first": first, "second": second, "outcome": outcome, "weight": 1.0,
                              "labeler": f"labeler {labeler}", "strength": None})  # fmt: skip
    return {
        "prompt_id": str(uuid.UUID(int=number)),
        "split": split,
        "messages": [{"role": "user", "content": f"Say something about {source.choice(WORDS)} {number}."}],
        "completions": [
            {"id": str(uuid.UUID(int=1000 * number + i)), "text": text, "token_ids": None, "tokenizer_sha256": None,
             "finish_reason": "stop"} for i, text in enumerate(texts)
        ],
        "pairs": pairs,
    }  # fmt: skip


def write_groups(path: Path, groups: list[Any]) -> Path:
    path.write_text("".join(json.dumps(group) + "\n" for group in groups))
    return path


@pytest.fixture
def groups_file(tmp_path: Path) -> Path:
    groups = [make_group(n, "train") for n in range(1, 13)] + [make_group(n, "validation") for n in range(13, 19)]
    return write_groups(tmp_path / "groups.jsonl", groups)


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Write a run directory with run.json."""

    def make(
        name: str = "run", *, kind: str = "reward.train", inputs: dict[str, Path] | None = None, **config: Any
    ) -> Path:
        return write_run(tmp_path / name, kind=kind, inputs=inputs, **config)

    return make


def write_run(path: Path, *, kind: str = "reward.train", inputs: dict[str, Path] | None = None, **config: Any) -> Path:
    path.mkdir(mode=0o700)
    spec = {
        "format": 1, "run": str(uuid.UUID(int=7)), "kind": kind, "attempt": 1, "seed": 3, "config": config,
        "inputs": {key: {"path": str(value), "sha256": ""} for key, value in (inputs or {}).items()},
        "threads": 1, "device": DEVICE,
    }  # fmt: skip
    (path / "run.json").write_text(json.dumps(spec))
    return path


def read_events(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]


def read_outcome(run: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((run / "outcome.json").read_text())
    return data
