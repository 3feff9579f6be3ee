"""Handing in a ranking: once per lease, never more than the task's overlap."""

from __future__ import annotations

from typing import NamedTuple

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.deadlocks import again_after_deadlock
from accounts.errors import Conflict
from accounts.models import AuditEvent
from accounts.statements import Given
from accounts.writes import Addition, Change, KeyOf, write_together
from annotation.models import (
    Campaign,
    Completion,
    Lease,
    Participation,
    Ranking,
    RankingItem,
    Task,
    TaskRole,
)
from annotation.protocols import Questions
from annotation.quality import QualityPlan
from annotation.services.choosing import Feedback, count_submitted, note_submitted
from annotation.services.known_orders import feedback_again
from annotation.services.labelers import whether_set_aside
from annotation.services.leases import before, lock_standing, return_slots
from annotation.services.overlap import grow_overlap
from annotation.states import CampaignState, LeaseState
from annotation.submission import Submission, as_json, body_sha256, checked

HANDED_IN = Change(
    lambda: Lease.objects.filter(pk=Given("lease"), state=Given("state")),
    state=LeaseState.SUBMITTED,
    ended_at=Given("now"),
    draft=None,
)
NEW_RANKING = Addition(Ranking)
NEW_ITEMS = Addition(RankingItem)


class SubmitResult(NamedTuple):
    ranking: Ranking
    is_repeat: bool
    """True: this lease's ranking was in already, with the same content."""
    feedback: Feedback | None = None
    """Of a training task."""


class _Late(Conflict):
    """Well-formed work for which there is no place any more; it is kept as the lease's draft."""


def submit_ranking(*, lease: Lease, submission: Submission) -> SubmitResult:
    """Store what the labeler says about the lease's task; sent again with the same content, the same ranking returns.

    An expired lease still counts while the task has a free slot; otherwise the work is kept as the lease's draft.

    Also: ends the lease; replaces the ranking that was taken up again, if any; may ask for one more labeler where the
    campaign's overlap adapts; records `ranking.submit` or `ranking.revise` for people.

    Raises:
        Refused: ranking_incomplete, ranking_duplicate, ranking_foreign_completion and the other codes of `checked`.
        Conflict: idempotency_conflict, lease_expired_no_slot, lease_over, campaign_closed.
    """
    campaign = lease.task.campaign
    said = checked(submission, lease.shown, protocol=campaign.protocol, questions=Questions.read(campaign.questions))
    try:
        return _submit(lease, said)
    except _Late:
        # Outside the transaction that was rolled back.
        Lease.objects.filter(pk=lease.pk).exclude(state=LeaseState.SUBMITTED).update(draft=as_json(said))
        raise


@again_after_deadlock
@transaction.atomic
def _submit(lease: Lease, said: Submission) -> SubmitResult:
    standing = lock_standing(lease)
    campaign = standing.campaign
    if campaign.state == CampaignState.ARCHIVED or not _end(lease, LeaseState.ACTIVE):
        held = Lease.objects.select_for_update(of=("self",), no_key=True).get(pk=lease.pk)
        if held.state == LeaseState.SUBMITTED:
            return _repeat(held, said, standing)
        _take_slot(held, campaign)
        _end(held, LeaseState.EXPIRED)
    ranking, is_aside = _store(lease, said, standing)
    feedback = note_submitted(lease, ranking, standing, QualityPlan.read(campaign.quality))
    _settle_slots(lease, campaign, is_aside=is_aside)
    return SubmitResult(ranking, is_repeat=False, feedback=feedback)


def _end(lease: Lease, state: LeaseState) -> bool:
    """Mark a lease in this state as submitted; False when it is in another."""
    return bool(HANDED_IN.run(lease=lease.pk, state=state, now=timezone.now()))


def _repeat(lease: Lease, said: Submission, standing: Participation) -> SubmitResult:
    ranking = Ranking.objects.select_related("task").get(lease=lease)
    if ranking.body_sha256 != body_sha256(said):
        raise Conflict(
            _("This task was handed in before with another ranking; that one stands."), code="idempotency_conflict"
        )
    is_training = ranking.task.role == TaskRole.TRAINING
    feedback = feedback_again(ranking, standing) if is_training else None
    return SubmitResult(ranking, is_repeat=True, feedback=feedback)


def _take_slot(lease: Lease, campaign: Campaign) -> None:
    """Make sure that there is a place for late work: a slot, or for a revision the ranking that it replaces.

    Raises:
        Conflict: lease_over, campaign_closed, lease_expired_no_slot; the work is kept as a draft.
    """
    if campaign.state == CampaignState.ARCHIVED or (
        campaign.state != CampaignState.OPEN and lease.state != LeaseState.ACTIVE
    ):
        raise _late(_("This campaign is closed; ask its manager to reopen it."), "campaign_closed")
    if lease.state not in before(LeaseState.SUBMITTED) or not _has_place(lease):
        raise _late(_("Your time on this task is over; take the next one."), "lease_over")
    # The labeler may have been given the same task again meanwhile: then that lease's slot is theirs.
    again = Lease.objects.active().filter(task=lease.task_id, labeler=lease.labeler_id, repeat=lease.repeat)
    if again.update(state=LeaseState.RELEASED, ended_at=timezone.now()) or not lease.takes_slot:
        return
    open_task = Task.objects.open().filter(pk=lease.task_id)
    if not open_task.update(free_slots=F("free_slots") - 1):
        raise _late(_("Your time on this task ran out and others have taken its place."), "lease_expired_no_slot")


def _late(why: str, code: str) -> _Late:
    return _Late(f"{why} {_('What you entered is kept as a draft.')}", code=code, details={"draft_kept": True})


def _has_place(lease: Lease) -> bool:
    """Whether the labeler has not ranked the task before, or has taken up just that ranking again and it stands."""
    if lease.revises_id is not None:
        return Ranking.objects.current().filter(pk=lease.revises_id).exists()
    return not Ranking.objects.filter(task=lease.task_id, labeler=lease.labeler_id, repeat=lease.repeat).exists()


def _store(lease: Lease, said: Submission, standing: Participation) -> tuple[Ranking, bool]:
    """The ranking with its items, counted and recorded; and whether its labeler is set aside."""
    revised = Ranking.objects.filter(pk=lease.revises_id or 0)
    # Of a person's rankings of a task one is current: the old one steps aside before the new one is there.
    is_revision = bool(lease.revises_id) and revised.update(withdrawn_at=timezone.now())
    ranking = _ranking(lease, said, standing.campaign)
    parts = {
        "ranking": NEW_RANKING.part(ranking),
        "items": NEW_ITEMS.part_of_all(_items(lease, said), ranking=KeyOf("ranking")),
        "is_aside": whether_set_aside(standing),
    }
    if (counted := count_submitted(lease, standing, at=ranking.created_at)) is not None:
        parts["counted"] = counted
    if lease.labeler.user_id is not None:
        parts["event"] = AuditEvent.part(
            workspace_id=standing.campaign.workspace_id,
            actor_id=lease.labeler.user_id,
            verb="ranking.submit" if lease.revises_id is None else "ranking.revise",
            target=ranking,
        )
    told = write_together(**parts)
    NEW_RANKING.added(ranking, told["ranking"])
    if is_revision:
        revised.update(superseded_by=ranking, withdrawn_at=None)
    return ranking, told["is_aside"]


def _ranking(lease: Lease, said: Submission, campaign: Campaign) -> Ranking:
    return Ranking(
        lease=lease,
        task=lease.task,
        labeler=lease.labeler,
        repeat=lease.repeat,
        protocol=campaign.protocol,
        guideline_version_id=lease.guideline_version_id,
        active_seconds=said.active_seconds,
        strength=said.strength,
        none_acceptable=said.none_acceptable,
        rationale=said.rationale,
        prompt_flags=list(said.prompt_flags),
        body_sha256=body_sha256(said),
    )


def _items(lease: Lease, said: Submission) -> list[RankingItem]:
    keys = {str(answer.public_id): answer.pk for answer in lease.task.placed_answers}
    return [
        RankingItem(
            completion_id=keys[str(item.completion_id)],
            position_shown=position,
            rank=item.rank,
            unrankable_reason=item.unrankable_reason,
            rating=item.rating,
            flags=list(item.flags),
            seen_seconds=item.seen_seconds,
            rewrite=_rewritten(lease, item.rewrite) if item.rewrite else None,
        )
        for position, item in enumerate(said.items)
    ]


def _settle_slots(lease: Lease, campaign: Campaign, *, is_aside: bool) -> None:
    """Last of all, as it locks the task: what the ranking means for the task's other slots."""
    if not lease.takes_slot and (lease.revises_id is None or lease.repeat):
        return
    if is_aside:
        if lease.takes_slot:
            return_slots({lease.task_id: 1})
    elif campaign.overlap_max is not None:
        grow_overlap(task_id=lease.task_id, at_most=campaign.overlap_max)


def _rewritten(lease: Lease, text: str) -> Completion:
    """A labeler's better version as an answer of its own; the labeler is locked, so its number is free."""
    source = f"human:{lease.labeler.public_id}"
    index = Completion.objects.filter(prompt=lease.task.prompt_id, source=source).count()
    return Completion.objects.create(prompt_id=lease.task.prompt_id, text=text, source=source, sample_index=index)
