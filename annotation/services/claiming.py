"""Handing out the next task, at a cost that does not grow with the queue or with what the labeler has done."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts.deadlocks import again_after_deadlock
from accounts.statements import Given, Statement
from accounts.writes import Addition, Change, Part, write_together
from annotation.models import Campaign, Labeler, Lease, Participation, Task
from annotation.quality import QualityPlan
from annotation.services.choosing import choose_planned
from annotation.services.leases import check_open, expire_due
from annotation.services.offers import BEGINNING, Offers, offers_for
from annotation.services.participations import lock_participation

HELD = Statement(lambda: Lease.objects.active().filter(labeler=Given("labeler")).select_related("task"))
"""Of all campaigns and in no order: where PostgreSQL believes that a table has next to no rows, it may read all of it
by the index of any other column that is asked for or ordered by."""
NEW_LEASE = Addition(Lease)
SLOT_TAKEN = Change(lambda: Task.objects.filter(pk=Given("task")), free_slots=F("free_slots") - 1)
"""Of a task that is locked and has one; where it has none, the table's constraint refuses the whole claim."""
PLACE = Change(
    lambda: Participation.objects.filter(pk=Given("participation")),
    passed_priority=Given("priority"),
    passed_task=Given("task"),
    looked_back_at=Given("looked_back_at"),
)
MAX_HELD = 2
"""Tasks that a labeler may hold in a campaign: the one on the screen and the one that is fetched ahead."""
COMMITTED_WITHIN = timedelta(seconds=10)
"""A slot's return may become visible so long after its `Task.returned_at`."""
LOOKS_BACK_EVERY = timedelta(seconds=5)
"""How long a slot that came back before a labeler's place may wait, while there is work after it."""


def claim_task(
    *,
    campaign: Campaign,
    labeler: Labeler,
    purpose: str | None = None,
    ahead: bool = False,
    now: datetime | None = None,
) -> Lease | None:
    """Hand the labeler their next task, or the one they have held longest; None when nothing is left for them.

    Also: leases of this campaign that ran out are ended where that frees a slot.

    Args:
        ahead: hand out a second task beside the one on the screen, or the second that they hold already.

    Raises:
        Refused: campaign_closed and the codes of `choose_planned`.
    """

    def lock() -> Participation:
        standing = lock_participation(campaign_id=campaign.pk, labeler_id=labeler.pk)
        standing.labeler = labeler
        return standing

    return claim_next(lock, purpose=purpose, ahead=ahead, now=now)


def claim_next(
    lock: Callable[[], Participation], *, purpose: str | None = None, ahead: bool = False, now: datetime | None = None
) -> Lease | None:
    """`claim_task` for whoever's standing this locks, found with its campaign, labeler and `newest_guidelines`."""
    now = now or timezone.now()
    lease, campaign = _claim(lock, purpose, ahead, now)
    if lease is None and expire_due(now=now, campaign=campaign):
        lease, campaign = _claim(lock, purpose, ahead, now)
    return lease


@again_after_deadlock
@transaction.atomic
def _claim(
    lock: Callable[[], Participation], purpose: str | None, ahead: bool, now: datetime
) -> tuple[Lease | None, Campaign]:
    standing = lock()
    campaign, labeler = standing.campaign, standing.labeler
    check_open(campaign)
    term = timedelta(seconds=campaign.lease_seconds)
    leases = _held(campaign, labeler, purpose)
    if leases and not (ahead and len(leases) < MAX_HELD):
        lease = leases[-1 if ahead else 0]
        if _is_held_on(lease, now, term):
            return _with_known(lease, campaign, labeler), campaign
    plan = QualityPlan.read(campaign.quality)
    chosen = choose_planned(standing, plan, num_held=len(leases), now=now)
    task, moved = (chosen.task, {}) if chosen else _find_next(standing, purpose)
    if task is None:
        if moved:
            write_together(**moved)
        return None, campaign
    lease = Lease(task=task, labeler=labeler, expires_at=now + term, guideline_version_id=standing.newest_guidelines)
    lease.repeat, lease.takes_slot = (chosen.repeat, False) if chosen else (0, True)
    lease.shown = (chosen and chosen.shown) or shown_order(task, labeler)
    if lease.takes_slot:
        moved["slot"] = SLOT_TAKEN.part(task=task.pk)
    key = write_together(**moved, lease=NEW_LEASE.part(lease))["lease"]
    return _with_known(NEW_LEASE.added(lease, key), campaign, labeler), campaign


def _held(campaign: Campaign, labeler: Labeler, purpose: str | None) -> list[Lease]:
    """The labeler's leases of this campaign, the oldest first."""
    leases = [lease for lease in HELD.all(labeler=labeler.pk) if lease.task.campaign_id == campaign.pk]
    # A ranking that was taken up again has an address of its own; the work goes on beside it.
    leases = [lease for lease in leases if lease.revises_id is None and purpose in (None, lease.task.purpose)]
    return sorted(leases, key=lambda lease: lease.pk)


def _is_held_on(lease: Lease, now: datetime, term: timedelta) -> bool:
    """Whoever asks again is still at work: no lease ends by accident. False when it has ended just now."""
    if lease.expires_at - now > term / 2:
        return True
    lease.expires_at = now + term
    return bool(Lease.objects.active().filter(pk=lease.pk).update(expires_at=lease.expires_at))


def _with_known(lease: Lease, campaign: Campaign, labeler: Labeler) -> Lease:
    """The lease with rows that were read already, so that nobody reads them again."""
    lease.labeler, lease.task.campaign = labeler, campaign
    return lease


def _find_next(standing: Participation, purpose: str | None) -> tuple[Task | None, dict[str, Part]]:
    """The first task in the queue that is for the labeler, locked, or None; and their new place, still to be stored."""
    offers = offers_for(standing, purpose)
    who = {"campaign": standing.campaign_id, "labeler": standing.labeler_id}
    before = standing.passed_priority, standing.passed_task, standing.looked_back_at
    # A place in the queue is one of all purposes.
    task = _first(offers, None, who, BEGINNING) if purpose is not None else _next_by_place(offers, standing, who)
    # All that is left is locked by somebody: now it is worth waiting for.
    task = task or offers.any_left.first(**who)
    if before == (standing.passed_priority, standing.passed_task, standing.looked_back_at):
        return task, {}
    place = PLACE.part(
        participation=standing.pk,
        priority=standing.passed_priority,
        task=standing.passed_task,
        looked_back_at=standing.looked_back_at,
    )
    return task, {"place": place}


def _next_by_place(offers: Offers, standing: Participation, who: dict[str, int]) -> Task | None:
    """The first task for the labeler: one that came back before their place, else one after it, else any."""
    task = None
    if standing.passed_priority is not None and standing.passed_task is not None:
        here = standing.passed_priority, standing.passed_task
        task = _came_back(offers, standing, who, here) or _first(offers, standing, who, here)
    return task or _first(offers, standing, who, BEGINNING)


def _came_back(offers: Offers, standing: Participation, who: dict[str, int], here: tuple[int, int]) -> Task | None:
    now, since = timezone.now(), standing.looked_back_at
    if since is None or now - since < COMMITTED_WITHIN + LOOKS_BACK_EVERY:
        return None
    task = offers.came_back.first(**who, priority=here[0], task=here[1], since=since)
    if task is None:
        standing.looked_back_at = now - COMMITTED_WITHIN
    return task


def _first(offers: Offers, standing: Participation | None, who: dict[str, int], here: tuple[int, int]) -> Task | None:
    """The first task after a place that nobody has locked; the labeler moves there, unless one was stepped over."""
    asked = {**who, "priority": here[0], "task": here[1]}
    task = offers.free.first(**asked)
    if task is None or standing is None:
        return task
    if task.head == task.pk:  # type: ignore[attr-defined]  # annotated
        standing.passed_priority, standing.passed_task = task.priority, task.pk
        standing.looked_back_at = standing.looked_back_at or timezone.now() - COMMITTED_WITHIN
    return task


def shown_order(task: Task, labeler: Labeler) -> list[str]:
    """Public ids of the task's answers in the order for this labeler.

    Shuffled by what is shown and who looks: a repeated simulation sees the same order, and no source has a place.
    """
    answers = list(task.placed_answers)
    if not task.is_order_fixed:
        texts = "\0".join(answer.text for answer in answers)
        key = f"{labeler.kind}|{labeler.name}|{task.prompt.content_sha256}|{texts}"
        random.Random(hashlib.sha256(key.encode()).hexdigest()).shuffle(answers)
    return [str(answer.public_id) for answer in answers]
