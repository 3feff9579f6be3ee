"""Model directories in the artifact store whose sizes can be read and whose tokenizer counts; nobody loads them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.conf import settings
from django.utils import timezone

from benchmarks.shapes import SHAPES
from policy.models import Checkpoint
from reward.groups import build_groups
from reward.models import RewardModel
from runs.artifacts import Stored, store
from runs.kinds import DEFAULT_QUEUE
from runs.models import Machine
from tests.tiny import build_tiny_model

GIB = 2**30
LLAMA_1B: dict[str, Any] = {
    "model_type": "llama", "vocab_size": 128256, "hidden_size": 2048, "intermediate_size": 8192,
    "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8, "tie_word_embeddings": True,
}  # fmt: skip
"""1.24 billion parameters: 4.6 GiB in float32."""


SMOLLM2: dict[str, Any] = {**LLAMA_1B, **SHAPES["smollm2"]}
"""135 million parameters: half a GiB in float32."""
MEASURED = Path(settings.BASE_DIR) / "benchmarks" / "results" / "2026-11-26-cpu-machine.json"
"""Speeds of a real machine, with one thread."""


@cache
def _tokenizer() -> bytes:
    with TemporaryDirectory() as folder:
        return (build_tiny_model(folder) / "tokenizer.json").read_bytes()


def stored_sizes(config: dict[str, Any] = LLAMA_1B, *, tokenizer: bytes | None = None) -> Stored:
    """A model of those sizes, in all but its weights; the tokenizer has a token for every byte."""
    with TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "tokenizer.json").write_bytes(_tokenizer() if tokenizer is None else tokenizer)
        (path / "config.json").write_text(json.dumps(config))
        (path / "plumbline.json").write_text(json.dumps({"kind": "policy", "template_tokens": 3}))
        return store().put_directory(path)


def resize(model: Checkpoint | RewardModel, config: dict[str, Any] = LLAMA_1B, **more: Any) -> None:
    """Let a row's weights be of those sizes."""
    model.sha256 = stored_sizes(config, **more).sha256
    model.save(update_fields=["sha256"])


def tell_of(host: str = "box", *, gib: float, **facts: Any) -> Machine:
    """A machine as its worker told of it: a layer takes a nanosecond a token and parameter."""
    speeds = [
        {"rows": rows, "matrices": matrices, "seconds": rows * matrices * 1e-9}
        for rows in (1, 512)
        for matrices in (1_000_000, 30_000_000)
    ]
    told = {
        "device": "cpu", "name": "EPYC", "cores": 2, "threads": 2, "memory_bytes": round(gib * GIB),
        "speeds": {"float32": speeds}, "seen_at": timezone.now(), "measured_at": timezone.now(), **facts,
    }  # fmt: skip
    return Machine.objects.create(host=host, queue=DEFAULT_QUEUE, **told)


def make_measurable(base: Checkpoint, reward_model: RewardModel, *, gib: float = 23.5) -> Machine:
    """Both of SmolLM2's sizes, the snapshot's rankings as they stand, and a machine that was measured."""
    resize(base, SMOLLM2)
    resize(reward_model, SMOLLM2)
    snapshot = reward_model.snapshot
    snapshot.sha256 = store().put_bytes(build_groups(snapshot.campaign).data).sha256
    snapshot.save(update_fields=["sha256"])
    return tell_of("workshop", gib=gib, speeds=json.loads(MEASURED.read_text())["speeds"])
