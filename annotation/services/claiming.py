"""Handing out the next task, at a cost that does not grow with the queue or with what the labeler has done."""

from __future__ import annotations

import hashlib
import random
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Subquery
from django.utils import timezone

from annotation.models import Campaign, Labeler, Lease, Participation, Task
from annotation.quality import QualityPlan
from annotation.querysets import TaskQuerySet
from annotation.services.choosing import choose_planned, matching
from annotation.services.leases import check_open, expire_due
from annotation.services.participations import lock_participation

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
    now = now or timezone.now()
    lease = _claim(campaign, labeler, purpose, ahead, now)
    if lease is None and expire_due(now=now, campaign=campaign):
        lease = _claim(campaign, labeler, purpose, ahead, now)
    return lease


@transaction.atomic
def _claim(campaign: Campaign, labeler: Labeler, purpose: str | None, ahead: bool, now: datetime) -> Lease | None:
    standing = lock_participation(campaign_id=campaign.pk, labeler_id=labeler.pk)
    check_open(standing.campaign)
    standing.labeler = labeler
    term = timedelta(seconds=standing.campaign.lease_seconds)
    # A ranking that was taken up again has an address of its own; the work goes on beside it.
    held = Lease.objects.active().filter(labeler=labeler.pk, task__campaign=campaign.pk, revises=None)
    if purpose is not None:
        held = held.filter(task__purpose=purpose)
    leases = list(held.select_related("task").order_by("pk"))
    if leases and not (ahead and len(leases) < MAX_HELD):
        lease = leases[-1 if ahead else 0]
        if _is_held_on(lease, now, term):
            return _with_known(lease, standing.campaign, labeler)
    plan = QualityPlan.read(standing.campaign.quality)
    chosen = choose_planned(standing, plan, num_held=len(leases), now=now)
    task = chosen.task if chosen else _take_next(standing, labeler, purpose)
    if task is None:
        return None
    lease = Lease(task=task, labeler=labeler, expires_at=now + term)
    lease.repeat, lease.takes_slot = (chosen.repeat, False) if chosen else (0, True)
    lease.shown = (chosen and chosen.shown) or shown_order(task, labeler)
    lease.save(force_insert=True)
    return _with_known(lease, standing.campaign, labeler)


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


def _take_next(standing: Participation, labeler: Labeler, purpose: str | None) -> Task | None:
    """Take a slot of the first task in the queue that is for the labeler; None where there is none."""
    tasks = Task.objects.filter(campaign=standing.campaign_id)
    if purpose is not None:
        tasks = tasks.filter(purpose=purpose)
    offered = matching(tasks, standing).open().not_ranked_by(labeler)
    # A place in the queue is one of all purposes.
    task = _first(offered, None) if purpose is not None else _next_by_place(offered, standing)
    if task is None:
        # All that is left is locked by somebody: now it is worth waiting for.
        task = offered.in_queue_order().select_for_update(no_key=True, of=("self",)).first()
    if task is None or not Task.objects.filter(pk=task.pk, free_slots__gt=0).update(free_slots=F("free_slots") - 1):
        return None
    return task


def _next_by_place(offered: TaskQuerySet, standing: Participation) -> Task | None:
    """The first task for the labeler: one that came back before their place, else one after it, else any."""
    place, looked_back_at = (standing.passed_priority, standing.passed_task), standing.looked_back_at
    task = _came_back(offered, standing) or _after_place(offered, standing) or _first(offered, standing)
    if place != (standing.passed_priority, standing.passed_task) or looked_back_at != standing.looked_back_at:
        standing.save(update_fields=["passed_priority", "passed_task", "looked_back_at"])
    return task


def _came_back(offered: TaskQuerySet, standing: Participation) -> Task | None:
    if standing.passed_priority is None or standing.passed_task is None or standing.looked_back_at is None:
        return None
    if timezone.now() - standing.looked_back_at < COMMITTED_WITHIN + LOOKS_BACK_EVERY:
        return None
    returned = offered.filter(returned_at__gt=standing.looked_back_at)
    # In the order of an index that holds nothing else: by priority, the whole queue might be walked instead.
    behind = returned.up_to(standing.passed_priority, standing.passed_task).order_by("returned_at")
    task = behind.select_for_update(skip_locked=True, no_key=True, of=("self",)).first()
    if task is None:
        standing.looked_back_at = timezone.now() - COMMITTED_WITHIN
    return task


def _after_place(offered: TaskQuerySet, standing: Participation) -> Task | None:
    if standing.passed_priority is None or standing.passed_task is None:
        return None
    return _first(offered.after(standing.passed_priority, standing.passed_task), standing)


def _first(offered: TaskQuerySet, standing: Participation | None) -> Task | None:
    """The first task that nobody has locked; the labeler's place moves there, unless a locked one was stepped over."""
    in_order = offered.in_queue_order()
    free = in_order.annotate(head=Subquery(in_order.values("pk")[:1]))
    task = free.select_for_update(skip_locked=True, no_key=True, of=("self",)).first()
    if task is not None and standing is not None and task.head == task.pk:
        standing.passed_priority, standing.passed_task = task.priority, task.pk
        standing.looked_back_at = standing.looked_back_at or timezone.now() - COMMITTED_WITHIN
    return task


def shown_order(task: Task, labeler: Labeler) -> list[str]:
    """Public ids of the task's answers in the order for this labeler.

    Shuffled by what is shown and who looks: a repeated simulation sees the same order, and no source has a place.
    """
    columns = ("completion__public_id", "completion__text", "task__prompt__content_sha256")
    answers = list(task.items.order_by("position").values_list(*columns))
    if not task.is_order_fixed:
        texts = "\0".join(text for _public_id, text, _sha in answers)
        key = f"{labeler.kind}|{labeler.name}|{answers[0][2]}|{texts}"
        random.Random(hashlib.sha256(key.encode()).hexdigest()).shuffle(answers)
    return [str(public_id) for public_id, _text, _sha in answers]
