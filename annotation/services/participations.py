"""A labeler's standing in a campaign: the row that every step of theirs locks, and their place in the queue."""

from __future__ import annotations

from accounts.statements import Given, Statement
from annotation.models import Participation
from annotation.querysets import ParticipationQuerySet


def locked(*with_: str) -> ParticipationQuerySet:
    """Standings with their campaign and `newest_guidelines`, locked until the transaction ends."""
    standings = Participation.objects.select_related("campaign", *with_).with_newest_guidelines()
    return standings.select_for_update(of=("self",), no_key=True)


LOCKED = Statement(lambda: locked().filter(campaign=Given("campaign"), labeler=Given("labeler")))


def lock_participation(*, campaign_id: int, labeler_id: int) -> Participation:
    """The labeler's standing and its campaign as they are now, locked until the transaction ends; made if need be.

    With `newest_guidelines`, the key of the campaign's guidelines or None.
    """
    found = LOCKED.first(campaign=campaign_id, labeler=labeler_id)
    if found is None:
        new = Participation(campaign_id=campaign_id, labeler_id=labeler_id)
        # Two first steps at once: the second waits for the first one's row and uses it.
        Participation.objects.bulk_create([new], ignore_conflicts=True)
        found = LOCKED.first(campaign=campaign_id, labeler=labeler_id)
    assert found is not None
    return found


def look_again(*, campaign_id: int, priority: int, task_id: int) -> None:
    """Send labelers who are past this place in the queue back to it: tasks were put in or moved up there.

    Call it in the transaction that does so, before any task that exists is locked.
    """
    past = Participation.objects.filter(campaign=campaign_id).past(priority, task_id - 1)
    keys = list(past.select_for_update(no_key=True).order_by("pk").values_list("pk", flat=True))
    if keys:
        Participation.objects.filter(pk__in=keys).update(passed_priority=priority, passed_task=task_id - 1)
