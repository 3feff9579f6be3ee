from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.agreement import agreement_of, alpha, preferred
from annotation.models import Campaign
from annotation.pairs import ranking_pairs
from annotation.queries import agreement, labeler_stats
from annotation.services import import_jsonl
from annotation.tests.voting import counts_of
from tests.cast import Cast, make_task, rank_task

SHARED = Path(__file__).parents[3] / "shared" / "data"


@dataclass
class Item:
    completion_id: int
    rank: int | None


def test_a_ranking_is_read_as_pairs_and_what_nobody_ranked_is_missing() -> None:
    items = [Item(9, 1), Item(4, 2), Item(6, 2), Item(5, None)]

    assert set(ranking_pairs(items)) == {(4, 6, 0), (4, 9, -1), (6, 9, -1)}
    assert list(ranking_pairs([Item(3, 2), Item(8, 1)])) == [(3, 8, -1)]
    assert list(ranking_pairs([Item(3, 1), Item(8, 2)])) == [(3, 8, 1)]
    assert list(ranking_pairs([Item(3, None), Item(8, 2)])) == []


def test_alpha_by_hand() -> None:
    # Four units of two values: (1,1), (1,1), (-1,-1), (1,-1); n = 8 values, of which five are 1 and three are -1.
    # With two values in use the ordinal metric has one distance, so alpha = 1 - (n-1) * o / (n_1 * n_-1) = 1 - 7*1/15.
    units = [(1, 1), (1, 1), (-1, -1), (1, -1)]

    assert agreement_of(counts_of(units)).alpha == pytest.approx(8 / 15)


def test_ordinal_alpha_by_hand_forgives_a_tie_more_than_a_turned_preference() -> None:
    # Values -1, 0, 1 with n = (2, 2, 2). Ordinal distance^2: (sum of n from c to k, minus half of both ends)^2:
    # -1 to 0: (4-2)^2 = 4, 0 to 1: 4, -1 to 1: (6-2)^2 = 16. Units (-1,0), (0,1), (1,-1):
    # observed = 2*(4 + 4 + 16) / 6 = 8, expected = 2*(4*4 + 4*4 + 4*16) / (6*5) = 6.4, alpha = 1 - 8/6.4.
    units = [(-1, 0), (0, 1), (1, -1)]

    assert agreement_of(counts_of(units)).alpha == pytest.approx(-0.25)


@pytest.mark.parametrize("units", [[], [(1,)], [(1, 1), (1, 1)]])
def test_alpha_is_unknown_where_nothing_can_disagree(units: list[tuple[int, ...]]) -> None:
    assert agreement_of(counts_of(units)).alpha is None


def test_one_against_the_majority_of_the_others_by_hand() -> None:
    # Three say 1, 1, -1: the first two face a split (1, -1) and are passed over, the third faces (1, 1), disagrees.
    # Three say 1, 1, -1: the first two face a split (1, -1) and are passed over, the third disagrees with (1, 1).
    found = agreement_of(counts_of([(1, 1, -1), (1, 1, 1), (0, 1, 1)]))

    assert (found.leave_one_out, found.num_leave_one_out) == (3 / 4, 4)
    # Equal couples: one of three, three of three, one of three.
    assert found.same == pytest.approx(5 / 9)
    assert found.num_pairs == 3


def test_a_preference_of_most_needs_a_single_winner() -> None:
    said = counts_of([(1, 1, -1), (1, -1), (), (0,), (-1, 0, -1), (1, 0)])

    assert preferred(said.values).tolist() == [1, 0, 0, 0, -1, 0]


@given(st.lists(st.lists(st.sampled_from([-1, 0, 1]), min_size=2, max_size=5), min_size=1, max_size=12))
def test_alpha_equals_the_definition_over_couples_of_values(units: list[list[int]]) -> None:
    found = alpha(np.array([[unit.count(value) for value in (-1, 0, 1)] for unit in units]))

    assert found is None if (slow := slow_alpha(units)) is None else found == pytest.approx(slow)


def slow_alpha(units: list[list[int]]) -> float | None:
    values = [value for unit in units for value in unit]

    def distance(a: int, b: int) -> float:
        low, high = min(a, b), max(a, b)
        between = sum(low <= value <= high for value in values)
        return (between - (values.count(low) + values.count(high)) / 2) ** 2 if low != high else 0.0

    observed = sum(
        distance(a, b) / (len(unit) - 1)
        for unit in units
        for i, a in enumerate(unit)
        for j, b in enumerate(unit)
        if i != j
    ) / len(values)
    expected = sum(distance(a, b) for i, a in enumerate(values) for j, b in enumerate(values) if i != j)
    return 1 - observed / (expected / (len(values) * (len(values) - 1))) if expected else None


def test_a_campaigns_agreement_reads_first_rankings_of_the_collection_only(cast: Cast, campaign: Campaign) -> None:
    alice, bob = cast.labeler(cast.alice), cast.labeler(cast.bob)
    Campaign.objects.filter(pk=campaign.pk).update(overlap=2)
    campaign.refresh_from_db()
    for number, (hers, his) in enumerate([((1, 2), (1, 2)), ((2, 1), (2, 1)), ((1, 2), (2, 1))]):
        task = make_task(campaign, f"Question {number}?")
        rank_task(task, alice, hers)
        rank_task(task, bob, his)
    rated = make_task(campaign, "Rated?", purpose="rate")
    rank_task(rated, alice, (1, 2))
    rank_task(rated, bob, (2, 1))
    alone = make_task(campaign, "Alone?")
    rank_task(alone, alice, (1, 2))

    found = agreement(campaign)

    # Units (1,1), (-1,-1), (1,-1): n = 6, three of each; alpha = 1 - 5*1/9.
    assert found.alpha == pytest.approx(4 / 9)
    assert found.num_pairs == 3
    assert found.leave_one_out == pytest.approx(4 / 6)
    assert agreement(campaign, split="test").num_pairs == 0
    stats = {row.labeler: row for row in labeler_stats(campaign)}
    assert {who: (row.num_rankings, row.num_compared) for who, row in stats.items()} == {alice: (4, 3), bob: (3, 3)}
    assert [row.agreement for row in stats.values()] == pytest.approx([2 / 3, 2 / 3])


@pytest.mark.skipif(not (SHARED / "pandalm_testset").is_dir(), reason="the public data sets are not at ../shared/data")
def test_pandalm_gives_the_published_agreement(cast: Cast, campaign: Campaign) -> None:
    expected = json.loads((SHARED / "expected.json").read_text())["pandalm"]
    with gzip.open(SHARED / "pandalm_testset" / "testset.jsonl.gz") as rows:
        lines = b"\n".join(pandalm_line(json.loads(row)) for row in rows)

    report = import_jsonl(campaign=campaign, by=cast.manager, lines=lines)
    found = agreement(campaign)

    assert (report.num_tasks, report.num_rankings, found.num_pairs) == (999, 2997, 999)
    assert found.alpha == pytest.approx(expected["alpha_ordinal_1_0_2_as_m1_0_p1"], abs=1e-6)
    assert found.same == pytest.approx(expected["pair_agree"], abs=1e-6)
    assert (found.leave_one_out, found.num_leave_one_out) == pytest.approx(expected["loo_notie"], abs=1e-6)


def pandalm_line(row: dict) -> bytes:
    """A row as an import line; its answers are told apart, for 60 of them are empty or no text."""
    prompt = f"{row['idx']}. {row['instruction']}\n{row['input']}"
    ranks = {1: [1, 2], 2: [2, 1], 0: [1, 1]}
    rankings = [{"labeler": f"annotator{n}", "ranks": ranks[row[f"annotator{n}"]]} for n in (1, 2, 3)]
    answers = [f"{n}: {row[f'response{n}']}" for n in (1, 2)]
    return json.dumps({"prompt": prompt, "completions": answers, "rankings": rankings}).encode()
