"""evaluation.json: floors with paired intervals, slices, verdicts, disagreements."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from reward.training.evaluation import Numbers
from reward.training.groups import Answer, Group, Pair
from reward.training.reliability import Reliability
from reward.training.report import Measured, disagreements, report


def group(name: str, *pairs: tuple[int, int, int, str], lengths: tuple[int, ...] = (10, 300), **rest: Any) -> Group:
    answers = [Answer([5], length, f"{name}{place}") for place, length in enumerate(lengths)]
    strength = rest.pop("strength", None)
    said = [Pair(first, second, outcome, 1.0, labeler, strength) for first, second, outcome, labeler in pairs]
    return Group(name, "validation", [1], answers, said, **rest)


RIGHT, WRONG = np.array([1.0, 0.0]), np.array([0.0, 1.0])


def written(groups: list[Group], scores: list[Numbers], **changes: Any) -> dict[str, Any]:
    floors = {"length": [np.array([float(a.characters) for a in g.answers]) for g in groups]}
    found = Measured(
        scores=scores, spread=[], floors=floors, train_scores=np.array([-1.0, 0.0, 1.0]), longer_wins=True,
        threshold=0.0, reliability={}, weights={},
    )  # fmt: skip
    return report(groups, found._replace(**changes), samples=300, seed=0)


def many(count: int = 20, outcome: int = 1) -> list[Group]:
    return [group(str(number), (0, 1, outcome, "ann"), (0, 1, outcome, "bob")) for number in range(count)]


def test_a_floor_is_compared_on_the_same_preferences() -> None:
    """The shorter answer always wins; the model knows it in 15 of 20 prompts, the longer-wins floor never."""
    found = written(many(), [RIGHT] * 15 + [WRONG] * 5)
    floor = found["floors"]["length"]
    assert (floor["accuracy"], floor["lead"]) == (0.0, 0.75)
    assert 0.4 < floor["low"] < 0.75 < floor["high"] < 1
    assert found["accuracy"]["value"] == 0.75
    assert found["verdicts"] == []


@pytest.mark.parametrize(
    ("num_right", "levels"),
    [(8, {"chance": "red", "floor_length": "red"}), (11, {"chance": "amber", "floor_length": "red"})],
)
def test_what_does_not_beat_chance_or_a_floor_is_said(num_right: int, levels: dict[str, str]) -> None:
    """People took the longer answer in 11 of 20 prompts; the model is right in some of those and nowhere else."""
    groups = many(11, outcome=-1) + [each._replace(prompt_id=f"x{i}") for i, each in enumerate(many(9, outcome=1))]
    scores = [WRONG] * num_right + [RIGHT] * (11 - num_right) + [WRONG] * 9
    told = {verdict["code"]: verdict["level"] for verdict in written(groups, scores)["verdicts"]}
    assert {code: told.get(code) for code in levels} == levels


def test_following_length_more_than_people_do_is_red() -> None:
    """People took the longer answer in six of ten, everywhere; the model always."""
    groups = [
        group(str(number), *((0, 1, 1 if word < 4 else -1, str(word)) for word in range(10))) for number in range(20)
    ]
    found = written(groups, [WRONG] * 20)
    assert {"code": "length", "level": "red"} in found["verdicts"]
    assert found["length"]["people"] == pytest.approx(0.6)


def test_slices_divide_the_preferences() -> None:
    groups = [
        group("a", (0, 1, 1, "ann"), category="poems", strength=4),
        group("b", (0, 1, 1, "bob"), (0, 1, -1, "ann"), lengths=(10, 30), category="code"),
    ]
    slices = written(groups, [RIGHT, RIGHT])["slices"]
    told = {name: {row["name"]: (row["accuracy"], row["num_pairs"]) for row in rows} for name, rows in slices.items()}
    assert told == {
        "strength": {"": (0.5, 2), "4": (1.0, 1)},
        "length_gap": {"0000": (0.5, 2), "0200": (1.0, 1)},
        "category": {"code": (0.5, 2), "poems": (1.0, 1)},
        "labeler": {"ann": (0.5, 2), "bob": (1.0, 1)},
    }


def test_the_interval_over_labelers_is_wide_where_they_differ() -> None:
    groups = [group(str(n), (0, 1, 1, "ann"), (0, 1, -1, "bob")) for n in range(30)]
    by_labeler = written(groups, [RIGHT] * 30)["by_labeler"]
    assert by_labeler == {"low": 0.0, "high": 1.0, "num_labelers": 2}


def test_worst_disagreements_come_first_and_agreement_never() -> None:
    groups = [
        group("mild", (0, 1, 1, "ann")),
        group("agreed", (0, 1, -1, "ann")),
        group("strong", (1, 0, -1, "ann"), (0, 1, 1, "bob"), (0, 1, 0, "cem")),
        group("balanced", (0, 1, 1, "ann"), (0, 1, -1, "bob")),
    ]
    found = disagreements(groups, [WRONG] * 4)
    assert [(row["prompt"], row["preferred"], row["rejected"]) for row in found] == [
        ("strong", "strong0", "strong1"),
        ("mild", "mild0", "mild1"),
    ]
    assert {key: found[0][key] for key in ("lead", "votes_for", "votes_against", "ties")} == {
        "lead": 1.0, "votes_for": 2, "votes_against": 0, "ties": 1,
    }  # fmt: skip


def test_labelers_stand_with_their_reliability_even_without_held_out_words() -> None:
    known = {"zoe": Reliability(0.4, 60, 50), "yan": Reliability(0.8, 60, 50)}
    rows = written([group("a", (0, 1, 1, "ann"))], [RIGHT], reliability=known, weights={"zoe": 0.0})["labelers"]
    assert [(row["labeler"], row["accuracy"], row["reliability"], row["weight"]) for row in rows] == [
        ("ann", 1.0, None, None),
        ("yan", None, 0.8, 1.0),
        ("zoe", None, 0.4, 0.0),
    ]
    assert [row["labeler"] for row in rows if row["is_doubtful"]] == ["zoe"]


def test_it_is_plain_json_whatever_the_scores() -> None:
    text = json.dumps(written(many(3), [np.array([0.0, 0.0])] * 3, spread=[np.array([0.1, 0.3])] * 3), allow_nan=False)
    found = json.loads(text)
    assert found["spread"] == pytest.approx(0.2)
    assert sum(found["scores"]["heldout"]) == pytest.approx(1)
