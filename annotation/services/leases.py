"""The queue: a task's slots are handed out as leases and come back, one conditional UPDATE each.

`free_slots` is the count of slots that nobody holds: overlap − active leases − rankings. Locks are taken in one
order, labeler, lease, task, so that no two of these functions can wait for each other.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.errors import Conflict, Refused
from accounts.text import check_json, check_text
from annotation.models import Campaign, Labeler, Lease, Task
from annotation.states import NEXT_LEASE_STATES, LeaseState

REASON_MAX_CHARACTERS = 200


def claim_task(
    *, campaign: Campaign, labeler: Labeler, purpose: str | None = None, now: datetime | None = None
) -> Lease | None:
    """Hand the labeler their next task, or the one they hold already; None when nothing is left for them.

    Also: leases of this campaign that ran out are ended where that frees a slot.

    Raises:
        Refused: campaign_closed.
    """
    now = now or timezone.now()
    check_open(campaign)
    lease = _claim(campaign, labeler, purpose, now)
    if lease is None and _expire(now, campaign=campaign):
        lease = _claim(campaign, labeler, purpose, now)
    return lease


def check_open(campaign: Campaign) -> None:
    """Refuse work in a campaign that is a draft, closed or archived by now.

    Raises:
        Conflict: campaign_closed.
    """
    if not Campaign.objects.open().filter(pk=campaign.pk).exists():
        raise Conflict(_("This campaign is not open; ask its manager to open it."), code="campaign_closed")


@transaction.atomic
def _claim(campaign: Campaign, labeler: Labeler, purpose: str | None, now: datetime) -> Lease | None:
    # One claim at a time per labeler: two tabs get the same lease.
    Labeler.objects.select_for_update(no_key=True).get(pk=labeler.pk)
    tasks = Task.objects.filter(campaign=campaign)
    if purpose is not None:
        tasks = tasks.filter(purpose=purpose)
    held = Lease.objects.active().filter(labeler=labeler, task__in=tasks)
    lease = held.select_for_update(of=("self",)).order_by("pk").first()
    expires_at = now + timedelta(seconds=campaign.lease_seconds)
    if lease is not None:
        # Not beyond its end by accident: whoever asks again is still at work.
        lease.expires_at = expires_at
        lease.save(update_fields=["expires_at"])
        return lease
    offered = tasks.open().not_ranked_by(labeler).in_queue_order()
    # Others' rows are stepped over; only when all that is left is locked by somebody is it worth waiting for.
    task = (
        offered.select_for_update(skip_locked=True, no_key=True).first()
        or offered.select_for_update(no_key=True).first()
    )
    if task is None or not Task.objects.filter(pk=task.pk, free_slots__gt=0).update(free_slots=F("free_slots") - 1):
        return None
    return Lease.objects.create(task=task, labeler=labeler, shown=shown_order(task, labeler), expires_at=expires_at)


def shown_order(task: Task, labeler: Labeler) -> list[str]:
    """Public ids of the task's answers in the order for this labeler.

    Shuffled by what is shown and who looks: a repeated simulation sees the same order, and no source has a place.
    """
    answers = list(task.items.order_by("position").values_list("completion__public_id", "completion__text"))
    if not task.is_order_fixed:
        texts = "\0".join(text for _public_id, text in answers)
        key = f"{labeler.kind}|{labeler.name}|{task.prompt.content_sha256}|{texts}"
        random.Random(hashlib.sha256(key.encode()).hexdigest()).shuffle(answers)
    return [str(public_id) for public_id, _text in answers]


def give_back(lease: Lease, state: LeaseState, **columns: Any) -> bool:
    """End an active lease and free its slot; False when it was not active any more. Call it inside a transaction."""
    held = Lease.objects.filter(pk=lease.pk, state__in=before(state))
    ended = held.update(state=state, ended_at=timezone.now(), **columns)
    if ended:
        Task.objects.filter(pk=lease.task_id).update(free_slots=F("free_slots") + 1)
    return bool(ended)


def before(state: LeaseState) -> list[str]:
    """The states from which a lease may move to this one."""
    return [known for known, following in NEXT_LEASE_STATES.items() if state in following]


@transaction.atomic
def renew_lease(*, lease: Lease) -> Lease:
    """Hold an active lease for another full term, counted from now: the heartbeat of an open page.

    Raises:
        Conflict: lease_over.
    """
    expires_at = timezone.now() + timedelta(seconds=lease.task.campaign.lease_seconds)
    _require(Lease.objects.active().filter(pk=lease.pk).update(expires_at=expires_at))
    lease.refresh_from_db(fields=["expires_at", "state"])
    return lease


@transaction.atomic
def release_lease(*, lease: Lease) -> Lease:
    """Give a task back; it may be offered to the same labeler again.

    Raises:
        Conflict: lease_over.
    """
    _require(give_back(lease, LeaseState.RELEASED))
    lease.refresh_from_db(fields=["state", "ended_at"])
    return lease


@transaction.atomic
def skip_task(*, lease: Lease, reason: str = "") -> Lease:
    """Give a task back for others; this labeler does not see it again.

    Raises:
        Conflict: lease_over.
        Refused: the codes of `check_text`.
    """
    check_text(reason, what=_("The reason"), max_characters=REASON_MAX_CHARACTERS, is_required=False)
    _require(give_back(lease, LeaseState.SKIPPED, skip_reason=reason))
    lease.refresh_from_db(fields=["state", "ended_at", "skip_reason"])
    return lease


@transaction.atomic
def save_draft(*, lease: Lease, draft: dict[str, Any]) -> Lease:
    """Keep unfinished work with the lease, also with one that has ended: nothing that a person typed is lost.

    Raises:
        Conflict: lease_over when the ranking is in already.
        Refused: draft_invalid or the codes of `check_json`.
    """
    if not isinstance(draft, dict):
        raise Refused(_("A draft must be a JSON object."), code="draft_invalid")
    check_json(draft, what=_("The draft"), max_characters=settings.COMPLETION_MAX_CHARACTERS)
    _require(Lease.objects.filter(pk=lease.pk).exclude(state=LeaseState.SUBMITTED).update(draft=draft))
    lease.refresh_from_db(fields=["draft", "state"])
    return lease


def _require(moved: int | bool) -> None:
    if not moved:
        raise Conflict(_("Your time on this task is over; take the next one."), code="lease_over")


def expire_leases() -> int:
    """End the leases that ran out and free their slots; returns how many."""
    return _expire(timezone.now())


@transaction.atomic
def _expire(now: datetime, campaign: Campaign | None = None) -> int:
    due = Lease.objects.active().filter(expires_at__lte=now)
    if campaign is not None:
        due = due.filter(task__campaign=campaign)
    leases = list(due.select_for_update(skip_locked=True, of=("self",)).order_by("pk"))
    Lease.objects.filter(pk__in=[lease.pk for lease in leases]).update(state=LeaseState.EXPIRED, ended_at=now)
    # In the order of their keys, as every other function that locks more than one task.
    for task_id, num in sorted(Counter(lease.task_id for lease in leases).items()):
        Task.objects.filter(pk=task_id).update(free_slots=F("free_slots") + num)
    return len(leases)
