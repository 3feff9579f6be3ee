"""Leases: how a labeler holds a task for a while and how its slot comes back, each time by one conditional UPDATE.

A task's `free_slots` is the count of slots that nobody holds: overlap − active leases that take a slot − rankings that
count. Locks are taken in one order, so that no two of the queue's functions can wait for each other: campaign (where it
is locked at all), participation, lease, task; several rows of a kind by their keys. Every lock is NO KEY: foreign keys
are checked at commit, after all others, and would wait for a full one. `claiming` hands leases out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.deadlocks import again_after_deadlock
from accounts.errors import Conflict, Refused
from accounts.text import check_json, check_text
from annotation.models import Campaign, GuidelineVersion, Labeler, Lease, Participation, SkipReason, Task
from annotation.services.participations import lock_participation
from annotation.states import NEXT_LEASE_STATES, CampaignState, LeaseState

NOTE_MAX_CHARACTERS = 1000


def check_open(campaign: Campaign) -> None:
    """Refuse work in a campaign that is a draft, closed or archived.

    Raises:
        Conflict: campaign_closed.
    """
    if campaign.state != CampaignState.OPEN:
        raise Conflict(_("This campaign is not open; ask its manager to open it."), code="campaign_closed")


def lock_standing(lease: Lease) -> Participation:
    """The standing of the lease's labeler in its campaign, locked: two tabs take turns."""
    return lock_participation(campaign_id=lease.task.campaign_id, labeler_id=lease.labeler_id)


def give_back(lease: Lease, state: LeaseState, **columns: Any) -> bool:
    """End an active lease and free its slot; False when it was not active any more. Call it inside a transaction."""
    held = Lease.objects.filter(pk=lease.pk, state__in=before(state))
    ended = held.update(state=state, ended_at=timezone.now(), **columns)
    if ended and lease.takes_slot:
        return_slots({lease.task_id: 1})
    return bool(ended)


def return_slots(counts: dict[int, int]) -> None:
    """Free so many slots of each task, in the order of their keys."""
    for task_id, num in sorted(counts.items()):
        Task.objects.filter(pk=task_id).update(free_slots=F("free_slots") + num, returned_at=timezone.now())


def before(state: LeaseState) -> list[str]:
    """The states from which a lease may move to this one."""
    return [known for known, following in NEXT_LEASE_STATES.items() if state in following]


@transaction.atomic
def renew_lease(*, lease: Lease) -> Lease:
    """Hold a lease for another full term, counted from now: the heartbeat of an open page.

    Also: renews the labeler's other active leases in the campaign; a task that waits behind the page is held with it.

    Raises:
        Conflict: lease_over.
    """
    campaign = lock_standing(lease).campaign
    expires_at = timezone.now() + timedelta(seconds=campaign.lease_seconds)
    Lease.objects.active().filter(labeler=lease.labeler_id, task__campaign=campaign).update(expires_at=expires_at)
    lease.refresh_from_db(fields=["expires_at", "state"])
    _require(lease.state == LeaseState.ACTIVE)
    return lease


@again_after_deadlock
@transaction.atomic
def release_lease(*, lease: Lease) -> Lease:
    """Give a task back; it may be offered to the same labeler again. A ranking that was taken up again stands.

    Raises:
        Conflict: lease_over.
    """
    lock_standing(lease)
    _require(give_back(lease, LeaseState.RELEASED))
    lease.refresh_from_db(fields=["state", "ended_at"])
    return lease


@again_after_deadlock
@transaction.atomic
def skip_task(*, lease: Lease, reason: str = "", note: str = "") -> Lease:
    """Give a task back for others; this labeler does not see it again. A ranking that was taken up again stands.

    Args:
        reason: a `SkipReason`, or empty.
        note: the labeler's own words.

    Raises:
        Conflict: lease_over.
        Refused: skip_reason_unknown or the codes of `check_text`.
    """
    if reason and reason not in SkipReason.values:
        raise Refused(
            _("A task is skipped for one of these reasons: %(reasons)s.") % {"reasons": ", ".join(SkipReason.values)},
            code="skip_reason_unknown",
        )
    check_text(note, what=_("The note"), max_characters=NOTE_MAX_CHARACTERS, is_required=False)
    lock_standing(lease)
    _require(give_back(lease, LeaseState.SKIPPED, skip_reason=reason, skip_note=note))
    lease.refresh_from_db(fields=["state", "ended_at", "skip_reason", "skip_note"])
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


def release_all(*, campaign: Campaign, labelers: Iterable[Labeler]) -> None:
    """Give back whatever these labelers hold in the campaign. Call it inside a transaction."""
    for labeler in sorted(labelers, key=lambda labeler: labeler.pk):
        lock_participation(campaign_id=campaign.pk, labeler_id=labeler.pk)
        held = Lease.objects.active().filter(task__campaign=campaign, labeler=labeler)
        rows = held.select_for_update(of=("self",), no_key=True).order_by("pk")
        _end(list(rows), LeaseState.RELEASED, timezone.now())


def expire_leases() -> int:
    """End the leases that ran out and free their slots; returns how many."""
    return expire_due(now=timezone.now())


@again_after_deadlock
@transaction.atomic
def expire_due(*, now: datetime, campaign: Campaign | None = None) -> int:
    """End the leases that ran out by `now`, of all campaigns or of one, and free their slots; returns how many."""
    due = Lease.objects.active().filter(expires_at__lte=now)
    if campaign is not None:
        due = due.filter(task__campaign=campaign)
    rows = due.only("pk", "task_id", "takes_slot").select_for_update(skip_locked=True, of=("self",), no_key=True)
    leases = list(rows.order_by("pk"))
    _end(leases, LeaseState.EXPIRED, now)
    return len(leases)


def _end(leases: list[Lease], state: LeaseState, now: datetime) -> None:
    """End leases that are active and locked."""
    if leases:
        Lease.objects.filter(pk__in=[lease.pk for lease in leases]).update(state=state, ended_at=now)
        return_slots(Counter(lease.task_id for lease in leases if lease.takes_slot))


class Guidelines(NamedTuple):
    """A version as it was published, for good."""

    key: int
    campaign_id: int
    number: int
    text: str


def lease_guidelines(lease: Lease) -> Guidelines | None:
    """The guidelines that stood when the lease was handed out: those on the labeler's screen and on the ranking."""
    return None if lease.guideline_version_id is None else _guidelines(lease.guideline_version_id)


@lru_cache(maxsize=100)
def _guidelines(key: int) -> Guidelines:
    return Guidelines(*GuidelineVersion.objects.values_list("pk", "campaign_id", "number", "text").get(pk=key))
