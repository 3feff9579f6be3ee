"""A known order is changed: what was said is scored again, whenever it was said."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, transaction

from accounts.errors import Refused
from accounts.models import AuditEvent
from annotation.models import Campaign, Gold, Labeler, Ranking
from annotation.services import archive_known_order, change_known_order, submit_ranking
from annotation.tests.planning import lease_of, make_known, order_of, say, standing
from tests.cast import Cast, submission


@pytest.fixture
def alice(cast: Cast) -> Labeler:
    return cast.labeler(cast.alice)


def test_a_changed_order_scores_again_what_was_said(cast: Cast, campaign: Campaign, alice: Labeler) -> None:
    bob = cast.labeler(cast.bob)
    task = make_known(campaign, "gold", answers=("One.", "Two.", "Three."))
    right, _none = say(lease_of(task, alice, takes_slot=False), (1, 2, 3))
    other, _none = say(lease_of(task, bob, takes_slot=False), (2, 1, 3))

    changed = change_known_order(task=task, by=cast.manager, ranks=order_of(task, 2, 1, 7))

    scores = {key: Ranking.objects.get(pk=key).gold_score for key in (right.pk, other.pk)}
    assert (changed, scores) == (2, {right.pk: pytest.approx(2 / 3), other.pk: 1})
    gold = Gold.objects.get(task=task)
    assert (gold.ranks, gold.explanation) == (order_of(task, 2, 1, 3), "Because.")
    event = AuditEvent.objects.get(verb="campaign.known_order_change", actor=cast.manager)
    assert (event.data["ranks_before"], event.data["num_rescored"]) == (order_of(task, 1, 2, 3), 2)
    assert change_known_order(task=task, by=cast.manager, ranks=order_of(task, 2, 1, 3), explanation="Because.") == 0
    assert change_known_order(task=task, by=cast.manager, explanation="") == 0
    assert AuditEvent.objects.filter(verb="campaign.known_order_change").count() == 2
    assert Gold.objects.get(task=task).explanation == ""


def test_a_revised_training_task_keeps_its_first_score_when_the_order_changes(
    campaign: Campaign, alice: Labeler
) -> None:
    task = make_known(campaign, "training")
    first, _told = say(lease_of(task, alice, takes_slot=False), (2, 1))
    again = lease_of(task, alice, takes_slot=False, revises=first)
    Ranking.objects.filter(pk=first.pk).update(withdrawn_at=again.created_at)
    second, _told = say(again, (1, 2))
    Ranking.objects.filter(pk=first.pk).update(superseded_by=second, withdrawn_at=None)

    assert change_known_order(task=task, by=None, ranks=order_of(task, 2, 1)) == 2

    assert list(Ranking.objects.order_by("pk").values_list("gold_score", flat=True)) == [1, 1]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"ranks": {}}, "known_order_empty"),
        ({"ranks": {"0" * 36: 1}}, "known_order_invalid"),
        ({"explanation": "\x00"}, "nul_byte"),
        (None, "known_order_archived"),
    ],
)
def test_a_change_that_makes_no_sense_changes_nothing(
    campaign: Campaign, alice: Labeler, change: dict[str, Any] | None, code: str
) -> None:
    task = make_known(campaign)
    ranking, _none = say(lease_of(task, alice, takes_slot=False), (2, 1))
    if change is None:
        archive_known_order(task=task, by=None)

    with pytest.raises(Refused) as refused:
        change_known_order(task=task, by=None, **(change or {"ranks": order_of(task, 2, 1)}))

    ranking.refresh_from_db()
    gold = Gold.objects.get(task=task)
    assert (refused.value.code, ranking.gold_score, gold.explanation) == (code, 0, "Because.")
    assert gold.ranks == order_of(task, 1, 2)


@pytest.mark.django_db(transaction=True)
def test_a_ranking_handed_in_while_the_order_changes_is_scored_by_the_new_one(
    cast: Cast, campaign: Campaign, alice: Labeler
) -> None:
    task = make_known(campaign)
    lease = lease_of(task, alice, takes_slot=False)
    standing(campaign, alice)
    said = submission(lease, ranks=[2, 1])

    def hand_in() -> float | None:
        try:
            ranking = submit_ranking(lease=lease, submission=said).ranking
            return Ranking.objects.get(pk=ranking.pk).gold_score
        finally:
            connection.close()

    with ThreadPoolExecutor() as threads:
        with transaction.atomic():
            change_known_order(task=task, by=None, ranks=order_of(task, 2, 1))
            handed_in = threads.submit(hand_in)
            with pytest.raises(TimeoutError):
                handed_in.result(timeout=1)
        assert handed_in.result(timeout=30) == 1
