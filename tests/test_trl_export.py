"""TRL takes an exported file as it is: a step of `RewardTrainer` and of `DPOTrainer` on the tiny model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest
import trl
from huggingface_hub import constants
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from reward.exports import as_lines, preferences
from reward.tests.test_exports import GROUPS
from reward.training.chat import PLAIN_CHAT_TEMPLATE
from tests.tiny import build_tiny_model

QUIET: dict[str, Any] = {
    "max_steps": 1, "report_to": "none", "save_strategy": "no", "use_cpu": True, "bf16": False, "disable_tqdm": True,
    "per_device_train_batch_size": 3,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)


@pytest.fixture
def exported(tmp_path: Path) -> datasets.Dataset:
    path = tmp_path / "train.preferences.jsonl"
    path.write_bytes(b"".join(as_lines(preferences(GROUPS, split="train"))))
    found = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    assert isinstance(found, datasets.Dataset)
    assert set(found.column_names) == {"prompt", "chosen", "rejected", "margin"}
    assert len(found) == 3
    return found


@pytest.fixture(params=[True, False], ids=["own template", "plain template"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Any]:
    path = build_tiny_model(tmp_path / "model", chat_template=request.param)
    tokenizer = AutoTokenizer.from_pretrained(str(path))
    if not request.param:
        tokenizer.chat_template = PLAIN_CHAT_TEMPLATE
    return path, tokenizer


def test_the_reward_trainer_takes_the_file(tmp_path: Path, exported: datasets.Dataset, model: tuple[Path, Any]) -> None:
    path, tokenizer = model
    scorer = AutoModelForSequenceClassification.from_pretrained(str(path), num_labels=1)
    args = trl.RewardConfig(output_dir=str(tmp_path / "out"), **QUIET)

    done = trl.RewardTrainer(model=scorer, args=args, train_dataset=exported, processing_class=tokenizer).train()

    assert done.global_step == 1
    assert 0 < done.training_loss < 5


def test_the_dpo_trainer_takes_the_file(tmp_path: Path, exported: datasets.Dataset, model: tuple[Path, Any]) -> None:
    path, tokenizer = model
    policy, reference = (AutoModelForCausalLM.from_pretrained(str(path)) for _side in range(2))
    args = trl.DPOConfig(output_dir=str(tmp_path / "out"), **QUIET)

    trainer = trl.DPOTrainer(
        model=policy, ref_model=reference, args=args, train_dataset=exported, processing_class=tokenizer
    )
    done = trainer.train()

    assert done.global_step == 1
    assert done.training_loss == pytest.approx(0.6931, abs=1e-3)
