"""The run kind reward.explain, from run.json to explanation.json."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reward.training.explain_job import explain_answer
from reward.training.reward_model import RewardModel
from reward.training.rundir import RunDirectory, TrainingRefused
from reward.training.tests.conftest import read_events
from tests.tiny import build_tiny_model

MakeRun = Callable[..., Path]
TEXT = "It hangs still. 🙂"


@pytest.fixture
def reward(tmp_path: Path) -> Path:
    base = build_tiny_model(tmp_path / "base", initializer_range=0.2)
    RewardModel.from_base(base, seed=0).save(tmp_path / "reward", meta={})
    return tmp_path / "reward"


def write_answer(path: Path, text: str = TEXT, **completion: Any) -> Path:
    line = {
        "prompt_id": "p",
        "split": "train",
        "messages": [{"role": "user", "content": "Why?"}],
        "completions": [{"text": text, "finish_reason": "stop", **completion}],
        "pairs": [],
    }
    path.write_text(json.dumps(line))
    return path


@pytest.fixture
def start(make_run: MakeRun, reward: Path, tmp_path: Path) -> Callable[..., RunDirectory]:
    def open_run(answer: Path | None = None, **config: Any) -> RunDirectory:
        given = answer or write_answer(tmp_path / "answer.json")
        path = make_run(kind="reward.explain", inputs={"reward": reward, "answer": given}, **config)
        return RunDirectory.open(path)

    return open_run


def test_the_pieces_carry_the_whole_score(start: Callable[..., RunDirectory]) -> None:
    run = start(steps=64)

    outcome = explain_answer(run)

    found = json.loads(outcome.artifacts["explanation"].read_text())
    assert found["ends"][-1] == len(TEXT)
    assert sum(found["values"]) + found["gap"] == pytest.approx(found["score"] - found["baseline_score"])
    assert found["relative_gap"] < 0.02
    assert found["num_tokens"] > len(found["ends"]) == len(found["values"])
    assert outcome.metrics["completeness_gap_share"] == found["relative_gap"]
    assert TEXT not in outcome.artifacts["explanation"].read_text()


def test_points_are_doubled_until_the_attributions_add_up(start: Callable[..., RunDirectory]) -> None:
    outcome = explain_answer(start(steps=2, max_steps=256, tolerance=0.01))

    assert outcome.metrics["num_points"] in {16, 32, 64, 128, 256}
    assert (outcome.metrics["completeness_gap_share"] or 0) <= 0.01


def test_points_are_not_doubled_beyond_the_limit(start: Callable[..., RunDirectory]) -> None:
    outcome = explain_answer(start(steps=1, max_steps=3, tolerance=1e-9))

    assert outcome.metrics["num_points"] == 2
    assert (outcome.metrics["completeness_gap_share"] or 0) > 0.01


def test_a_cancelled_run_leaves_nothing(start: Callable[..., RunDirectory]) -> None:
    run = start()
    (run.path / "control").write_text('{"command": "cancel"}')

    outcome = explain_answer(run)

    assert (outcome.status, dict(outcome.artifacts)) == ("cancelled", {})
    assert not (run.path / "artifacts" / "explanation.json").exists()
    assert read_events(run.path)[0]["phase"] == "explain"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"text": "a" * 600}, "answer_too_long"),
        ({"text": "", "finish_reason": "length"}, "bad_answer"),
        ({"text": "other words", "token_ids": [70, 71], "tokenizer_sha256": "ours"}, "bad_answer"),
    ],
    ids=["long", "empty", "other-tokens"],
)
def test_what_cannot_be_explained_is_refused(
    start: Callable[..., RunDirectory], reward: Path, tmp_path: Path, answer: dict[str, Any], code: str
) -> None:
    if answer.get("tokenizer_sha256"):
        answer["tokenizer_sha256"] = RewardModel.load(reward).tokenizer.sha256
    run = start(write_answer(tmp_path / "bad.json", **answer))

    with pytest.raises(TrainingRefused) as refused:
        explain_answer(run)

    assert refused.value.code == code
