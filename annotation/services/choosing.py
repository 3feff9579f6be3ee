"""What a labeler gets that the ordinary queue does not hold: training, gold and planned repeats; and their limits.

Where the plan asks for nothing, nothing is read from the database here. Gold and repeats fall on one place in each
block of so many tasks, by a keyed hash of campaign, labeler and block: the same when asked again, and nobody can tell
beforehand.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from django.db.models import Exists, OuterRef
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _

from accounts.errors import Conflict
from accounts.statements import Given
from accounts.writes import Change, Part
from annotation.models import Lease, Participation, Purpose, Ranking, Task, TaskRole
from annotation.quality import QualityPlan
from annotation.querysets import TAKEN, RankingQuerySet, for_reader
from annotation.services.known_orders import Feedback, score_ranking
from annotation.services.qualification import check_may_go_on, settle
from annotation.states import LeaseState

__all__ = ["Chosen", "Feedback", "choose_planned", "count_submitted", "note_submitted"]

COUNTED = Change(
    lambda: Participation.objects.filter(pk=Given("participation")),
    num_submitted=Given("num_submitted"),
    day=Given("day"),
    num_day=Given("num_day"),
)
NUM_REPEATABLE = 50
"""A repeat is drawn from so many of the labeler's rankings that are old enough, the youngest of them."""


class Chosen(NamedTuple):
    task: Task
    repeat: int
    """The lease's: 0 for the first time, an attempt's number for training, 1 for a planned repeat."""
    shown: list[str] | None
    """Public ids in the order to show; None: as for any task."""


def choose_planned(participation: Participation, plan: QualityPlan, *, num_held: int, now: datetime) -> Chosen | None:
    """The task that the plan has for this labeler now; None: the ordinary queue.

    Also: a labeler whose qualification the guidelines ended starts over.

    Args:
        num_held: leases that they hold here beside the one to come.

    Raises:
        Conflict: limit_reached, not_qualified.
    """
    _check_limits(participation, plan, num_held=num_held, now=now)
    if plan.qualifies:
        task = check_may_go_on(participation, num_held=num_held)
        if task is not None:
            return Chosen(task, participation.qualification_attempt, None)
    place = participation.num_submitted + num_held
    if is_gold_place(participation, plan, place):
        return None if _has_just_skipped(participation) else _gold(participation, place)
    if is_repeat_place(participation, plan, place):
        return None if _has_just_skipped(participation) else _repeat(participation, plan, num_held=num_held)
    return None


def note_submitted(lease: Lease, ranking: Ranking, participation: Participation, plan: QualityPlan) -> Feedback | None:
    """Score a ranking that was just stored where the order is known, and move qualification on.

    A revision of a training task keeps the first score, because its order has been shown.

    Returns:
        On a training task what to tell the labeler, else None.
    """
    if lease.task.role == TaskRole.WORK:
        return None
    feedback = score_ranking(ranking, revises=lease.revises)
    if lease.task.role == TaskRole.GOLD:
        return None
    if lease.revises_id is not None or lease.repeat != participation.qualification_attempt:
        return feedback
    return feedback._replace(has_qualified=settle(participation, plan, ranking))


def count_submitted(lease: Lease, participation: Participation, *, at: datetime) -> Part | None:
    """One ranking more, handed in at this time, still to be written; None for a revision, which is not counted."""
    if lease.revises_id is not None:
        return None
    day = at.astimezone(UTC).date()
    participation.num_submitted += 1
    participation.num_day = participation.num_day + 1 if participation.day == day else 1
    participation.day = day
    return COUNTED.part(
        participation=participation.pk,
        num_submitted=participation.num_submitted,
        day=day,
        num_day=participation.num_day,
    )


def _check_limits(participation: Participation, plan: QualityPlan, *, num_held: int, now: datetime) -> None:
    if plan.max_in_all is not None and participation.num_submitted + num_held >= plan.max_in_all:
        raise Conflict(
            _("You have ranked as many tasks here as one person may (%(max)d). Thank you!") % {"max": plan.max_in_all},
            code="limit_reached",
        )
    num_today = participation.num_day if participation.day == now.astimezone(UTC).date() else 0
    if plan.max_per_day is not None and num_today + num_held >= plan.max_per_day:
        raise Conflict(
            _("You have ranked as many tasks here as one person may on a day (%(max)d); come back tomorrow.")
            % {"max": plan.max_per_day},
            code="limit_reached",
        )


def is_gold_place(participation: Participation, plan: QualityPlan, place: int) -> bool:
    """Whether the labeler's task number `place`, from 0, is to be a gold task: exactly one in each block is."""
    if not plan.gold_every:
        return False
    block, offset = divmod(place, plan.gold_every)
    return _draw(participation, f"gold|{block}") % plan.gold_every == offset


def is_repeat_place(participation: Participation, plan: QualityPlan, place: int) -> bool:
    """Whether it is to be a repeat: one in each block is, beside the gold tasks; where all of them are gold, none."""
    every = plan.repeat_every
    if not every or is_gold_place(participation, plan, place):
        return False
    block, offset = divmod(place, every)
    drawn = _draw(participation, f"repeat|{block}") % every
    # The drawn place, or the next one of the block that is no gold task.
    between = ((drawn + step) % every for step in range((offset - drawn) % every))
    return all(is_gold_place(participation, plan, block * every + earlier) for earlier in between)


def _draw(participation: Participation, what: str) -> int:
    key = f"{participation.campaign_id}|{participation.labeler_id}|{what}"
    return int.from_bytes(salted_hmac("annotation.choosing", key, algorithm="sha256").digest()[:8])


def _has_just_skipped(participation: Participation) -> bool:
    """Whether they skipped this place's planned task: next comes an ordinary one, or skipping would tell them apart."""
    leases = Lease.objects.filter(labeler=participation.labeler_id, task__campaign=participation.campaign_id)
    last = leases.order_by("-pk").values_list("state", "takes_slot").first()
    return last == (LeaseState.SKIPPED, False)


def _gold(participation: Participation, place: int) -> Chosen | None:
    """One of the gold tasks that the labeler has not met; None: they know them all."""
    tasks = Task.objects.not_archived().filter(campaign=participation.campaign_id, role=TaskRole.GOLD)
    new = tasks.filter(for_reader(participation)).not_ranked_by(participation.labeler)
    keys = list(new.order_by("pk").values_list("pk", flat=True))
    if not keys:
        return None
    return Chosen(Task.objects.get(pk=keys[_draw(participation, f"task|{place}") % len(keys)]), 0, None)


def _repeat(participation: Participation, plan: QualityPlan, *, num_held: int) -> Chosen | None:
    """A ranking of theirs that is old enough and was not repeated yet, its answers turned; None: there is none."""
    own = Ranking.objects.current().filter(labeler=participation.labeler_id, task__campaign=participation.campaign_id)
    between = max(plan.repeat_after - num_held, 0)
    youngest = list(own.order_by("-pk").values_list("pk", flat=True)[between : between + 1])
    if not youngest:
        return None
    keys = list(_repeatable(own).filter(pk__lte=youngest[0]).values_list("pk", flat=True)[:NUM_REPEATABLE])
    if not keys:
        return None
    drawn = keys[_draw(participation, f"again|{participation.num_submitted + num_held}") % len(keys)]
    ranking = own.select_related("task", "lease").get(pk=drawn)
    return Chosen(ranking.task, 1, ranking.lease.shown[::-1] if ranking.lease else None)


def _repeatable(own: RankingQuerySet) -> RankingQuerySet:
    """Of a labeler's rankings those of ordinary tasks that they have not been given again, the youngest first."""
    again = Lease.objects.filter(task=OuterRef("task"), labeler=OuterRef("labeler"), repeat__gt=0, state__in=TAKEN)
    ordinary = own.filter(
        task__role=TaskRole.WORK,
        task__purpose=Purpose.COLLECT,
        task__archived_at__isnull=True,
        repeat=0,
        lease__isnull=False,
    )
    return ordinary.filter(~Exists(again)).order_by("-pk")
