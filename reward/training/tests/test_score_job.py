"""The run kind reward.score, from run.json to scores.jsonl."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from reward.training.groups import read_groups
from reward.training.packing import Prefixed
from reward.training.reward_model import RewardModel
from reward.training.rundir import RunDirectory, TrainingRefused
from reward.training.score_job import Asked, batches, score_answers
from reward.training.tests.conftest import make_group, read_events, write_groups
from tests.tiny import build_tiny_model

Start = Callable[..., RunDirectory]
DOCUMENT = Path(__file__).parents[3] / "docs" / "metrics.md"


@pytest.fixture(scope="module")
def reward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three heads."""
    folder = tmp_path_factory.mktemp("rm")
    base = build_tiny_model(folder / "base", initializer_range=0.2)
    RewardModel.from_base(base, seed=0, heads=3).save(folder / "reward", meta={})
    return folder / "reward"


def made_of(reward: Path, path: Path, biases: tuple[float, ...]) -> Path:
    """A model whose heads give every answer these scores."""
    model = RewardModel.from_base(reward, seed=0, heads=len(biases))
    with torch.no_grad():
        model.head_weight.zero_()
        model.head_bias.copy_(torch.tensor(biases))
    model.save(path, meta={})
    return path


def unjudged(number: int, answers: int = 3) -> dict[str, Any]:
    """A group without pairs; its answers' ids are 1000 n, 1000 n + 1, …"""
    return {**make_group(number, "train", answers=answers), "pairs": []}


GROUPS = [unjudged(1), unjudged(2, answers=1), unjudged(3, answers=4)]


@pytest.fixture
def start(make_run: Callable[..., Path], reward: Path, tmp_path: Path) -> Start:
    def open_run(
        groups: list[dict[str, Any]] | None = None, *, model: Path = reward, name: str = "run", **config: Any
    ) -> RunDirectory:
        path = write_groups(tmp_path / f"{name}.jsonl", GROUPS if groups is None else groups)
        return RunDirectory.open(
            make_run(name, kind="reward.score", inputs={"reward": model, "groups": path}, **config)
        )

    return open_run


def score(run: RunDirectory) -> list[dict[str, Any]]:
    return [json.loads(line) for line in score_answers(run).artifacts["scores"].read_text().splitlines()]


def test_a_score_is_what_the_model_says_of_the_answer_alone(start: Start, reward: Path, tmp_path: Path) -> None:
    found = score(start())

    model = RewardModel.load(reward)
    alone = [
        (answer.id, model.members([Prefixed(group.prompt, [answer.tokens])])[0].double(), len(answer.tokens))
        for group in read_groups(tmp_path / "run.jsonl", model.tokenizer)
        for answer in group.answers
    ]
    assert [row["completion"] for row in found] == [name for name, _heads, _length in alone]
    assert [row["num_tokens"] for row in found] == [length for _name, _heads, length in alone]
    for row, (_name, heads, _length) in zip(found, alone, strict=True):
        mean = sum(heads.tolist()) / 3
        variance = sum((head - mean) ** 2 for head in heads.tolist()) / 2
        assert row["score"] == pytest.approx(mean, abs=1e-5)
        assert row["spread"] == pytest.approx(math.sqrt(variance), abs=1e-5)
    assert len({round(row["score"], 3) for row in found}) == 8


def test_heads_of_1_2_and_6_score_3_and_lie_apart_by_the_root_of_7(start: Start, reward: Path, tmp_path: Path) -> None:
    outcome = score_answers(start(model=made_of(reward, tmp_path / "known", (1.0, 2.0, 6.0))))

    rows = [json.loads(line) for line in outcome.artifacts["scores"].read_text().splitlines()]
    assert [row["score"] for row in rows] == [3.0] * 8
    assert [row["spread"] for row in rows] == pytest.approx([math.sqrt(7)] * 8)
    assert outcome.metrics == {
        "num_scored": 8,
        "num_left_out_answers": 0,
        "score_mean": 3.0,
        "score_std": 0.0,
        "spread_mean": pytest.approx(math.sqrt(7)),
    }


def test_one_head_has_no_spread(start: Start, reward: Path, tmp_path: Path) -> None:
    outcome = score_answers(start(model=made_of(reward, tmp_path / "single", (0.5,))))

    lines = outcome.artifacts["scores"].read_text().splitlines()
    assert {json.loads(line)["spread"] for line in lines} == {None}
    assert "spread_mean" not in outcome.metrics


def test_small_parts_give_the_scores_of_large_ones(start: Start) -> None:
    large = score(start(name="large"))
    small = score(start(name="small", tokens_per_forward=1))

    assert [row["completion"] for row in small] == [row["completion"] for row in large]
    for a, b in zip(small, large, strict=True):
        assert (a["score"], a["spread"]) == pytest.approx((b["score"], b["spread"]), abs=1e-5)


def test_two_runs_write_the_same_bytes(start: Start) -> None:
    written = [score_answers(start(name=name)).artifacts["scores"].read_bytes() for name in ("first", "second")]

    assert written[0] == written[1]
    assert written[0].count(b"\n") == 8


def test_a_prompt_is_counted_once_for_the_answers_behind_it() -> None:
    prompt, other = [1] * 5, [2] * 5
    asked = [Asked("a", prompt, [7] * 3), Asked("b", prompt, [7] * 2), Asked("c", prompt, [7]), Asked("d", other, [7])]

    def cut(size: int) -> list[str]:
        return ["".join(each.completion for each in batch) for batch in batches(asked, size)]

    assert cut(17) == ["abcd"]  # 5 + 3 + 2 + 1, then 5 + 1
    assert cut(16) == ["abc", "d"]
    assert cut(10) == ["ab", "c", "d"]
    assert cut(9) == ["a", "bc", "d"]  # the prompt is read again behind a cut
    assert cut(1) == ["a", "b", "c", "d"]


def test_an_answer_that_is_too_long_is_left_out_and_named(start: Start) -> None:
    long = unjudged(4)
    long["completions"][1]["text"] = "a" * 600
    run = start([long, unjudged(5)])

    outcome = score_answers(run)

    name = long["completions"][1]["id"]
    written = outcome.artifacts["scores"].read_text()
    assert name not in written
    assert written.count("\n") == 5
    assert (outcome.metrics["num_scored"], outcome.metrics["num_left_out_answers"]) == (5, 1)
    (note,) = (event for event in read_events(run.path) if event["type"] == "note")
    assert (note["code"], note["level"]) == ("answers_left_out", "warning")
    assert note["message"] == (
        "1 of 6 answers are longer with their prompt than the 512 tokens that the reward model reads and were left "
        f"out: {name}."
    )


def test_an_answer_that_just_fits_is_scored(start: Start, reward: Path) -> None:
    tokenizer = RewardModel.load(reward).tokenizer
    group = unjudged(6, answers=2)
    prompt = 512 - len(tokenizer.encode_template(f"<|begin|>user: {group['messages'][0]['content']}\nassistant: "))
    for answer, length in zip(group["completions"], (prompt, prompt + 1), strict=True):
        answer.update(token_ids=[70] * length, tokenizer_sha256=tokenizer.sha256)

    found = score(start([group]))

    assert [(row["completion"], row["num_tokens"]) for row in found] == [(group["completions"][0]["id"], prompt)]


def test_a_run_is_cancelled_between_two_forward_passes(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    run, forwards = start(tokens_per_forward=1), []
    members = RewardModel.members

    def one_then_cancel(self: RewardModel, groups: list[Prefixed]) -> torch.Tensor:
        forwards.append(groups)
        (run.path / "control").write_text('{"command": "cancel"}')
        return members(self, groups)

    monkeypatch.setattr(RewardModel, "members", one_then_cancel)

    outcome = score_answers(run)

    assert (outcome.status, dict(outcome.artifacts), len(forwards)) == ("cancelled", {}, 1)
    assert not (run.path / "artifacts").exists() or not list((run.path / "artifacts").iterdir())
    assert (read_events(run.path)[0]["phase"], read_events(run.path)[0]["total"]) == ("score", 8)


def test_progress_counts_answers_to_the_last(start: Start) -> None:
    run = start()

    score_answers(run)

    told = [event for event in read_events(run.path) if event["type"] == "progress"]
    assert [(event["phase"], event["unit"], event["done"], event["total"]) for event in (told[0], told[-1])] == [
        ("score", "answers", 0, 8),
        ("score", "answers", 8, 8),
    ]


def test_bfloat16_is_used_where_it_is_asked_for(start: Start) -> None:
    exact = score(start(name="exact"))

    rough = score(start(name="rough", precision="bfloat16-autocast"))

    differences = [abs(a["score"] - b["score"]) for a, b in zip(rough, exact, strict=True)]
    assert 0 < max(differences) < 0.1


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"id": ""}, "2 answers to score have 1 ids"),
        ({"id": "1"}, "2 answers to score have 1 ids"),
        ({"id": 3}, "line 1: id is 3, not text"),
        ({"text": "", "finish_reason": "length"}, "line 1: an answer is empty"),
    ],
    ids=["no-id", "one-id-twice", "odd-id", "empty"],
)
def test_what_cannot_be_scored_is_refused(start: Start, change: dict[str, Any], why: str) -> None:
    group = unjudged(7, answers=2)
    group["completions"][0]["id"] = "1"
    group["completions"][1].update(change)

    with pytest.raises(TrainingRefused, match=why) as refused:
        score_answers(start([group]))

    assert refused.value.code == "bad_groups"


def test_scores_that_are_not_finite_are_refused_by_name(start: Start, reward: Path, tmp_path: Path) -> None:
    run = start(model=made_of(reward, tmp_path / "broken", (0.0, math.inf, 1.0)))

    with pytest.raises(TrainingRefused, match=f"the answer {GROUPS[0]['completions'][0]['id']} a score") as refused:
        score_answers(run)

    assert refused.value.code == "not_finite"
    assert not (run.path / "artifacts" / "scores.jsonl").exists()


def test_a_campaign_of_which_nothing_fits_is_refused(start: Start) -> None:
    group = unjudged(8, answers=2)
    for answer in group["completions"]:
        answer["text"] = "a" * 600

    with pytest.raises(TrainingRefused, match="None of the 2 answers fits the 512 tokens") as refused:
        score_answers(start([group]))

    assert refused.value.code == "nothing_to_score"


def test_every_metric_is_documented_and_back(start: Start) -> None:
    section = DOCUMENT.read_text().split("\n## Scores of a campaign's answers\n")[1].split("\n## ")[0]

    assert set(score_answers(start()).metrics) == set(re.findall(r"^\| `(\w+)`", section, re.MULTILINE))
