"""A process that finds itself on a machine that cannot hold its run says so before it loads anything."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from policy.training.config import PPOConfig
from policy.training.dpo_job import tune_by_preferences
from policy.training.estimate import Models, ppo_memory
from policy.training.ppo_job import train_policy
from policy.training.sft_job import tune_by_demonstrations
from reward.training import footprint
from reward.training.fit import require_fit, shape_at
from reward.training.footprint import Part
from reward.training.job import train_reward_model
from reward.training.machine import MEMORY_VARIABLE, total_memory
from reward.training.rundir import Outcome, RunDirectory, TrainingRefused

MIB = 2**20
HANDLERS: dict[str, Callable[[RunDirectory], Outcome]] = {
    "policy.ppo": train_policy,
    "policy.dpo": tune_by_preferences,
    "policy.sft": tune_by_demonstrations,
    "reward.train": train_reward_model,
}
SIZES = {
    "model_type": "llama", "vocab_size": 512, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 4, "tie_word_embeddings": True,
}  # fmt: skip


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """A run whose models have a config.json and nothing else: whoever loads them fails otherwise."""

    def make(kind: str, config: dict[str, Any] | None = None, sizes: dict[str, Any] = SIZES) -> Path:
        model = tmp_path / "model"
        model.mkdir()
        (model / "config.json").write_text(json.dumps(sizes))
        path = tmp_path / "run"
        path.mkdir()
        spec = {
            "format": 1, "run": str(uuid.UUID(int=1)), "kind": kind, "attempt": 1, "seed": 0, "config": config or {},
            "inputs": {name: {"path": str(model), "sha256": ""} for name in ("policy", "reward", "base", "groups")},
            "threads": 1, "device": "cpu",
        }  # fmt: skip
        (path / "run.json").write_text(json.dumps(spec))
        return path

    return make


def refusal(path: Path, kind: str) -> TrainingRefused:
    run = RunDirectory.open(path)
    try:
        with pytest.raises(TrainingRefused) as refused:
            HANDLERS[kind](run)
    finally:
        run.close()
    return refused.value


@pytest.mark.parametrize("kind", sorted(HANDLERS))
def test_every_kind_refuses_what_its_machine_cannot_hold(
    make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv(MEMORY_VARIABLE, "3")

    found = refusal(make_run(kind), kind)

    assert found.code == "cannot_fit"
    assert "To make it smaller," in found.message


@pytest.mark.parametrize("kind", sorted(HANDLERS))
@pytest.mark.parametrize("sizes", [SIZES, {"model_type": "mixtral"}], ids=["small", "unknown"])
def test_what_may_fit_and_what_cannot_be_told_is_tried(
    make_run: Callable[..., Path], kind: str, sizes: dict[str, Any]
) -> None:
    assert refusal(make_run(kind, sizes=sizes), kind).code == "tokenizer_missing"


def test_it_is_the_certain_part_that_counts_to_the_byte(
    make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDirectory.open(make_run("policy.ppo"))
    monkeypatch.setenv(MEMORY_VARIABLE, "5")
    likely = Part("activations", 50 * MIB)

    require_fit(run, [Part("model", 5 * MIB, is_certain=True), likely], remedy="x")
    with pytest.raises(TrainingRefused):
        require_fit(run, [Part("model", 5 * MIB + 1, is_certain=True)], remedy="x")

    run.close()


def test_adapters_are_tried_where_every_weight_is_refused(
    make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_run("policy.ppo", {"lora": {"rank": 2}})
    shape = shape_at(path.parent / "model")
    assert shape is not None
    every_weight = footprint.certain(ppo_memory(Models(shape, shape), PPOConfig()))
    monkeypatch.setenv(MEMORY_VARIABLE, str(every_weight // MIB))
    assert total_memory() < every_weight

    assert refusal(path, "policy.ppo").code == "tokenizer_missing"
