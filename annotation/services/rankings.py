"""Handing in a ranking: once per lease, never more than the task's overlap."""

from __future__ import annotations

from typing import NamedTuple

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.errors import Conflict
from accounts.models import AuditEvent
from annotation.models import Completion, GuidelineVersion, Labeler, Lease, Ranking, RankingItem, Task
from annotation.protocols import Questions
from annotation.services.leases import before
from annotation.states import CampaignState, LeaseState
from annotation.submission import Submission, as_json, body_sha256, checked


class SubmitResult(NamedTuple):
    ranking: Ranking
    is_repeat: bool
    """True: this lease's ranking was in already, with the same content."""


class _Late(Conflict):
    """Well-formed work for which there is no place any more; it is kept as the lease's draft."""


def submit_ranking(*, lease: Lease, submission: Submission) -> SubmitResult:
    """Store what the labeler says about the lease's task; sent again with the same content, the same ranking returns.

    An expired lease still counts while the task has a free slot; otherwise the work is kept as the lease's draft.

    Also: ends the lease; records `ranking.submit` for people.

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


@transaction.atomic
def _submit(lease: Lease, said: Submission) -> SubmitResult:
    Labeler.objects.select_for_update(no_key=True).get(pk=lease.labeler_id)
    held = (
        Lease.objects.select_for_update(of=("self",), no_key=True)
        .select_related("task__campaign__workspace", "labeler__user")
        .get(pk=lease.pk)
    )
    if held.state == LeaseState.SUBMITTED:
        return _repeat(held, said)
    _take_slot(held)
    ended = Lease.objects.filter(pk=held.pk, state__in=before(LeaseState.SUBMITTED))
    ended.update(state=LeaseState.SUBMITTED, ended_at=timezone.now(), draft=None)
    ranking = _store(held, said)
    if held.labeler.user is not None:
        AuditEvent.record(
            workspace=held.task.campaign.workspace, actor=held.labeler.user, verb="ranking.submit", target=ranking
        )
    return SubmitResult(ranking, is_repeat=False)


def _repeat(lease: Lease, said: Submission) -> SubmitResult:
    ranking = Ranking.objects.get(lease=lease)
    if ranking.body_sha256 != body_sha256(said):
        raise Conflict(
            _("This task was handed in before with another ranking; that one stands."), code="idempotency_conflict"
        )
    return SubmitResult(ranking, is_repeat=True)


def _take_slot(lease: Lease) -> None:
    """Make sure that the ranking to come has a slot: the lease's own, or for a late one a free one.

    Raises:
        Conflict: lease_over, campaign_closed, lease_expired_no_slot; the work is kept as a draft.
    """
    kept = _("What you entered is kept as a draft.")
    state = lease.task.campaign.state
    if state == CampaignState.ARCHIVED or (state != CampaignState.OPEN and lease.state != LeaseState.ACTIVE):
        raise _Late(
            f"{_('This campaign is closed; ask its manager to reopen it.')} {kept}",
            code="campaign_closed",
            details={"draft_kept": True},
        )
    if lease.state == LeaseState.ACTIVE:
        return
    if lease.state not in before(LeaseState.SUBMITTED) or _has_ranked(lease):
        raise _Late(
            f"{_('Your time on this task is over; take the next one.')} {kept}",
            code="lease_over",
            details={"draft_kept": True},
        )
    # The labeler may have been given the same task again meanwhile: then that lease's slot is theirs.
    again = Lease.objects.active().filter(task=lease.task_id, labeler=lease.labeler_id, repeat=lease.repeat)
    if again.update(state=LeaseState.RELEASED, ended_at=timezone.now()):
        return
    open_task = Task.objects.open().filter(pk=lease.task_id)
    if not open_task.update(free_slots=F("free_slots") - 1):
        raise _Late(
            f"{_('Your time on this task ran out and others have taken its place.')} {kept}",
            code="lease_expired_no_slot",
            details={"draft_kept": True},
        )


def _has_ranked(lease: Lease) -> bool:
    said = Ranking.objects.current().filter(task=lease.task_id, labeler=lease.labeler_id, repeat=lease.repeat)
    return said.exists()


def _store(lease: Lease, said: Submission) -> Ranking:
    ranking = Ranking.objects.create(
        lease=lease,
        task=lease.task,
        labeler=lease.labeler,
        repeat=lease.repeat,
        protocol=lease.task.campaign.protocol,
        guideline_version=lease_guidelines(lease),
        active_seconds=said.active_seconds,
        strength=said.strength,
        none_acceptable=said.none_acceptable,
        rationale=said.rationale,
        prompt_flags=list(said.prompt_flags),
        body_sha256=body_sha256(said),
    )
    keys = dict(Completion.objects.filter(public_id__in=lease.shown).values_list("public_id", "pk"))
    by_text = {str(public_id): key for public_id, key in keys.items()}
    RankingItem.objects.bulk_create(
        RankingItem(
            ranking=ranking,
            completion_id=by_text[str(item.completion_id)],
            position_shown=position,
            rank=item.rank,
            unrankable_reason=item.unrankable_reason,
            rating=item.rating,
            flags=list(item.flags),
            seen_seconds=item.seen_seconds,
            rewrite=_rewritten(lease, item.rewrite) if item.rewrite else None,
        )
        for position, item in enumerate(said.items)
    )
    return ranking


def _rewritten(lease: Lease, text: str) -> Completion:
    """A labeler's better version as an answer of its own; the labeler is locked, so its number is free."""
    source = f"human:{lease.labeler.public_id}"
    index = Completion.objects.filter(prompt=lease.task.prompt_id, source=source).count()
    return Completion.objects.create(prompt_id=lease.task.prompt_id, text=text, source=source, sample_index=index)


def lease_guidelines(lease: Lease) -> GuidelineVersion | None:
    """The guidelines that stood when the lease was handed out: those on the labeler's screen and on the ranking."""
    versions = GuidelineVersion.objects.filter(campaign=lease.task.campaign_id)
    shown = versions.filter(created_at__lte=lease.created_at).order_by("-number").first()
    return shown or versions.order_by("number").first()
