"""Overlap that adapts, and slots of labelers who are set aside."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.models import Campaign, Labeler, Ranking, Task
from annotation.pairs import PairOutcome
from annotation.queries import counted_rankings
from annotation.services import claim_task, exclude_labeler, import_jsonl, readmit_labeler, submit_ranking
from annotation.services.overlap import is_open
from annotation.tests.test_claim_race import at_once, labelers_of
from tests.cast import Cast, make_campaign, make_cast, make_labeler, make_task, rank_task, submission


def adaptive(cast: Cast, overlap: int, at_most: int, **settings: Any) -> Campaign:
    campaign = make_campaign(cast, overlap=overlap, **settings)
    campaign.overlap_max = at_most
    campaign.save()
    return campaign


def worker(cast: Cast, number: int) -> Labeler:
    return Labeler.objects.filter(name=f"w{number}").first() or make_labeler(cast.workspace, f"w{number}")


def slots(task: Task) -> tuple[int, int]:
    task.refresh_from_db()
    return task.overlap, task.free_slots


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([[1]], True),
        ([[1], [1]], False),
        ([[1], [-1]], True),
        ([[1], [0]], True),
        ([[0], [0]], True),
        ([[1], [1], [-1]], True),
        ([[1], [1], [0]], False),
        ([[1, 1], [1, -1]], True),
        ([[1, 1], [1, 1]], False),
        ([[None], [None]], False),
        ([[1, None], [1, None]], False),
        ([], False),
    ],
)
def test_one_more_is_asked_where_one_more_can_change_a_pairs_order(
    said: list[list[int | None]], expected: bool
) -> None:
    pairs = [
        [PairOutcome(place, place + 1, outcome) for place, outcome in enumerate(ranking) if outcome is not None]
        for ranking in said
    ]
    assert is_open(pairs) is expected


@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=9))
def test_open_means_that_some_next_outcome_gives_another_order(outcomes: list[int]) -> None:
    def order(votes: list[int]) -> int:
        return (sum(votes) > 0) - (sum(votes) < 0)

    changes = any(order([*outcomes, following]) != order(outcomes) for following in (-1, 0, 1))

    assert is_open([[PairOutcome(1, 2, outcome)] for outcome in outcomes]) is changes


def test_a_disputed_task_is_asked_again_until_it_is_settled(cast: Cast) -> None:
    task = make_task(adaptive(cast, 2, 5))
    rank_task(task, worker(cast, 0), (1, 2))
    assert slots(task) == (2, 1)
    rank_task(task, worker(cast, 1), (2, 1))
    assert slots(task) == (3, 1)
    rank_task(task, worker(cast, 2), (1, 2))
    assert slots(task) == (4, 1)
    rank_task(task, worker(cast, 3), (1, 2))

    # 3 to 1: nobody who comes can turn it.
    assert slots(task) == (4, 0)


def test_overlap_stops_at_the_campaigns_most_and_does_not_grow_without_one(cast: Cast) -> None:
    task, plain = make_task(adaptive(cast, 1, 2)), make_task(make_campaign(cast, name="Plain"))
    for number in range(2):
        rank_task(task, worker(cast, number), (1, 2) if number else (2, 1))
    rank_task(plain, worker(cast, 0), (1, 2))

    assert slots(task) == (2, 0)
    assert slots(plain) == (1, 0)


def test_the_added_slot_is_offered_before_what_is_further_on(cast: Cast) -> None:
    campaign = adaptive(cast, 1, 3)
    task, _later = make_task(campaign), make_task(campaign, "later?")
    rank_task(task, worker(cast, 0), (1, 2))

    lease = claim_task(campaign=campaign, labeler=worker(cast, 1))

    assert lease is not None
    assert lease.task == task


@pytest.mark.parametrize("votes", [((1, 2), (2, 1)), ((1, 2), (1, 2))])
def test_submits_at_once_add_one_slot_or_none(transactional_db: None, votes: Any) -> None:
    cast = make_cast()
    task = make_task(adaptive(cast, 2, 9, name="At once"), is_order_fixed=True)
    claimed = [claim_task(campaign=task.campaign, labeler=labeler) for labeler in labelers_of(cast, 2)]
    leases = [lease for lease in claimed if lease is not None]

    at_once(
        [
            partial(submit_ranking, lease=lease, submission=submission(lease, ranks))
            for lease, ranks in zip(leases, votes, strict=True)
        ]
    )

    assert slots(task) == ((3, 1) if votes[0] != votes[1] else (2, 0))


def test_a_labeler_set_aside_gives_their_slots_to_others(cast: Cast) -> None:
    campaign = make_campaign(cast, overlap=2)
    both, hers, his = (make_task(campaign, f"{n}?") for n in range(3))
    alice, bob = worker(cast, 0), worker(cast, 1)
    for task in (both, hers):
        rank_task(task, alice, (1, 2))
    rank_task(both, bob, (1, 2))
    archived = make_task(campaign, "archived?", priority=1)
    rank_task(archived, alice, (1, 2))
    Task.objects.filter(pk=archived.pk).update(archived_at=archived.created_at)

    exclude_labeler(campaign=campaign, labeler=alice, by=cast.manager, reason="Too fast.")

    assert {task.pk: slots(task) for task in (both, hers, his, archived)} == {
        both.pk: (2, 1),
        hers.pk: (2, 2),
        his.pk: (2, 2),
        archived.pk: (2, 1),
    }
    lease = claim_task(campaign=campaign, labeler=worker(cast, 2))
    assert lease is not None
    assert lease.task == both


def test_who_is_set_aside_fills_no_slot_with_what_they_go_on_to_rank(cast: Cast) -> None:
    task = make_task(adaptive(cast, 1, 3))
    exclude_labeler(campaign=task.campaign, labeler=worker(cast, 0), by=cast.manager, reason="Too fast.")

    rank_task(task, worker(cast, 0), (1, 2))

    assert slots(task) == (1, 1)
    assert (Ranking.objects.count(), counted_rankings(task.campaign).count()) == (1, 0)


def test_who_is_readmitted_takes_free_slots_and_where_there_are_none_adds_to_the_overlap(cast: Cast) -> None:
    campaign = make_campaign(cast, overlap=1)
    free, refilled = make_task(campaign, "free?"), make_task(campaign, "refilled?")
    alice = worker(cast, 0)
    for task in (free, refilled):
        rank_task(task, alice, (1, 2))
    exclude_labeler(campaign=campaign, labeler=alice, by=cast.manager, reason="Too fast.")
    Task.objects.filter(pk=refilled.pk).update(priority=1)
    rank_task(refilled, worker(cast, 1), (1, 2))

    readmit_labeler(campaign=campaign, labeler=alice, by=cast.manager)

    assert (slots(free), slots(refilled)) == ((1, 0), (2, 0))
    assert Counter(counted_rankings(campaign).values_list("task", flat=True)) == {free.pk: 1, refilled.pk: 2}


def test_imported_rankings_of_a_labeler_who_is_set_aside_take_no_slots(cast: Cast) -> None:
    campaign = make_campaign(cast, overlap=1)
    exclude_labeler(campaign=campaign, labeler=worker(cast, 0), by=cast.manager, reason="Too fast.")
    answers = '[{"text": "a", "source": "x"}, {"text": "b", "source": "x"}]'
    ranking = '{"labeler": "w0", "ranks": [1, 2]}'
    line = f'{{"prompt": "new?", "completions": {answers}, "rankings": [{ranking}]}}'

    import_jsonl(campaign=campaign, by=cast.manager, lines=line.encode())

    assert Ranking.objects.filter(task__campaign=campaign).count() == 1
    assert slots(Task.objects.get()) == (1, 1)
