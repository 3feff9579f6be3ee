"""The real-preference benchmark: its groups are the product's, its rows are what it says, its floors are named."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotation.models import Campaign
from annotation.services import import_jsonl
from benchmarks.real_data import GOLD, group_lines
from benchmarks.real_model import Split, ceiling, lead, majorities, split_of
from benchmarks.reward_real import COLUMNS, RED, as_text
from reward.groups import build_groups
from reward.training.groups import Answer, Dataset, Group, Pair
from tests.cast import make_campaign, make_cast
from tests.tiny import build_tiny_model

ROOT = Path(__file__).resolve().parent.parent


def group(*pairs: tuple[int, int, int, str], answers: int = 3) -> Group:
    said = [Pair(first, second, outcome, 1.0, labeler, None) for first, second, outcome, labeler in pairs]
    return Group("p", "train", [1], [Answer([2], n + 1) for n in range(answers)], said)


@pytest.fixture
def campaign(db: None) -> Campaign:
    return make_campaign(make_cast())


def test_groups_are_those_of_a_campaigns_snapshot(campaign: Campaign) -> None:
    first, tied = [{"labeler": "w", "ranks": [2, 1]}], [{"labeler": "w", "ranks": [1, 1, 2]}]
    rows: list[dict[str, Any]] = [
        {"prompt": "Q?", "completions": ["a", "b"], "rankings": first},
        {"prompt": "Q?", "completions": ["b", "c", "b"], "rankings": tied},
        {"prompt": "R?", "completions": ["a", {"text": "a", "source": "m"}], "rankings": first},
    ]
    import_jsonl(campaign=campaign, by=None, lines=[json.dumps(row).encode() for row in rows])

    ours = {said(line) for line in group_lines({**row, "split": "train"} for row in rows)}

    assert ours == {said(line) for line in build_groups(campaign).lines}
    assert {len(words) for _prompt, _answers, words in ours} == {1, 4}


def said(line: dict[str, Any]) -> tuple[str, tuple[str, ...], frozenset[tuple[str, str, int]]]:
    """What a line of groups.jsonl says, whatever the order of its answers."""
    texts = [completion["text"] for completion in line["completions"]]
    words = []
    for pair in line["pairs"]:
        one, other, outcome = texts[pair["first"]], texts[pair["second"]], pair["outcome"]
        if one == other:
            outcome = abs(outcome)
        words.append((one, other, outcome) if one <= other else (other, one, -outcome))
    assert {pair["weight"] for pair in line["pairs"]} == {1.0}
    return line["messages"][0]["content"], tuple(sorted(texts)), frozenset(words)


def test_gold_is_judged_by_and_never_trained_on() -> None:
    mixed = group((0, 1, 1, "w"), (0, 1, 1, GOLD), (1, 2, -1, "w"))
    alone = group((0, 1, 1, GOLD))

    split = split_of(Dataset([mixed, alone], [mixed], 7))

    assert [[pair.labeler for pair in g.pairs] for g in split.train] == [["w", "w"]]
    assert [[pair.labeler for pair in g.pairs] for g in split.heldout] == [[GOLD]]
    assert split.num_left_out == 7


def test_the_ceiling_is_how_often_people_say_what_the_gold_says() -> None:
    words = [group((0, 1, 1, GOLD), (0, 1, 1, "v"), (0, 1, -1, "w"), (0, 1, 1, "x"), (0, 1, 0, "y"), (0, 2, -1, "w"))]

    assert ceiling(Split([], [], words, 0)) == pytest.approx(2 / 3)
    # Without gold the majority of the others: v and x have each other against w, w has both against him.
    without = [group((0, 1, 1, "v"), (0, 1, -1, "w"), (0, 1, 1, "x"))]
    assert ceiling(Split([], [], without, 0)) == pytest.approx((0.5 + 0 + 0.5) / 3)
    assert ceiling(Split([], [], [group((0, 1, 1, "v"))], 0)) is None


def test_a_majority_counts_once_and_an_even_vote_not_at_all() -> None:
    words = group((0, 1, 1, "v"), (1, 0, -1, "w"), (0, 1, -1, "x"), (0, 2, 1, "v"), (2, 0, 1, "w"), (1, 2, 0, "v"))

    (reduced,) = majorities([words, group((0, 1, 0, "v"))])

    assert [(p.first, p.second, p.outcome) for p in reduced.pairs] == [(0, 1, 1)]


def test_a_lead_is_a_difference_on_the_same_pairs() -> None:
    groups = [group((0, 1, 1, "v")), group((0, 1, 1, "v"), (1, 2, 1, "v"))]
    right, half = np.array([3.0, 2.0, 1.0]), np.array([1.0, 1.0, 1.0])

    found = lead(groups, [right, right], [half, np.array([1.0, 2.0, 1.0])], seed=0)

    # By prompt 0.5 of 1 and 1 of 2.
    assert found["by"] == pytest.approx(0.5)
    assert (found["low"], found["is_sure"]) == (pytest.approx(0.5), True)
    assert not lead(groups, [half, half], [half, half], seed=0)["is_sure"]


def row(**beats: bool) -> dict[str, Any]:
    return {**dict.fromkeys(COLUMNS, 0.5), "set": "oasst", "seed": 1, "human": None} | {
        f"beats_{name}": {"is_sure": sure} for name, sure in beats.items()
    }


def test_a_row_below_a_floor_is_named_and_red_on_a_terminal_only() -> None:
    rows = [row(length=True, bow=True, probe=True), row(length=False, bow=True, probe=False)]

    text = as_text(rows, is_terminal=False)

    assert RED not in text
    assert text.endswith("\noasst, seed 1, does not surely beat: length, probe\n")
    coloured = as_text(rows, is_terminal=True).splitlines()
    assert [line.startswith(RED) for line in coloured] == [False, False, True, False]


@pytest.mark.slow
def test_the_benchmark_prints_its_rows_as_json(tmp_path: Path) -> None:
    folder = tmp_path / "finegrained_qa_pref"
    folder.mkdir()
    answers, preference = ["it is", "so", "no", "old"], [1, 1, 0, 2, 1, 1]
    questions = [{"question": f"What is {n}?", "outputs": answers, "preference": preference} for n in range(12)]
    (folder / "dev_feedback.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, questions)).encode()))
    model = build_tiny_model(tmp_path / "model", layers=3)
    command = [sys.executable, "benchmarks/reward_real.py", "--json", "--data", str(tmp_path), "--model", str(model)]

    done = subprocess.run(
        [*command, "--sets", "finegrained_qa_pref", "--seeds", "1", "2", "--limit", "10"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip

    rows = json.loads(done.stdout)
    assert [(r["set"], r["seed"]) for r in rows] == [("finegrained_qa_pref", 1), ("finegrained_qa_pref", 2)]
    assert all(r.keys() >= set(COLUMNS) for r in rows)
    assert {(r["num_heldout_pairs"], r["num_train_prompts"]) for r in rows} == {(10, 8)}
    assert all(0 <= r["low"] <= r["accuracy"] <= r["high"] <= 1 for r in rows)
    assert {r["human"] for r in rows} == {None}
