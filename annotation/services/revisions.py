"""Second thoughts: a labeler takes a ranking up again, or back, within the campaign's window."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.errors import Conflict, Refused
from accounts.models import AuditEvent
from annotation.models import Campaign, Labeler, Lease, Participation, Ranking, TaskRole
from annotation.querysets import RankingQuerySet
from annotation.services.campaigns import check_not_archived
from annotation.services.labelers import is_set_aside
from annotation.services.leases import return_slots
from annotation.services.participations import lock_participation
from annotation.states import LeaseState
from annotation.submission import Submission, SubmittedItem, as_json


def recent_rankings(labeler: Labeler, campaign: Campaign) -> RankingQuerySet:
    """What the labeler said in the campaign and may still change, newest first."""
    since = timezone.now() - timedelta(minutes=campaign.undo_minutes)
    said = Ranking.objects.current().filter(labeler=labeler, task__campaign=campaign, created_at__gt=since)
    return said.exclude(task__role=TaskRole.TRAINING).select_related("task__prompt").order_by("-pk")


@transaction.atomic
def revise_ranking(*, ranking: Ranking, labeler: Labeler) -> Lease:
    """Take a ranking up again: a lease with what was said as its draft, the answers in the same order.

    The ranking stands until the lease is submitted; a lease that is skipped, released or runs out leaves it. Asked
    again, the same lease returns.

    Raises:
        Refused: ranking_unknown (404).
        Conflict: ranking_replaced, undo_over, training_done, campaign_archived.
    """
    standing, said = _changeable(ranking, labeler)
    expires_at = timezone.now() + timedelta(seconds=standing.campaign.lease_seconds)
    lease = Lease.objects.active().filter(revises=said).first()
    if lease is not None and Lease.objects.active().filter(pk=lease.pk).update(expires_at=expires_at):
        lease.expires_at = expires_at
        return lease
    before = _said(said)
    return Lease.objects.create(
        task=said.task,
        labeler=labeler,
        repeat=said.repeat,
        guideline_version_id=standing.newest_guidelines,
        takes_slot=False,
        revises=said,
        shown=[str(item.completion_id) for item in before.items],
        draft=as_json(before),
        expires_at=expires_at,
    )


@transaction.atomic
def withdraw_ranking(*, ranking: Ranking, labeler: Labeler) -> Ranking:
    """Take a ranking back: it counts for nothing, and the task goes to somebody else.

    Also: ends a lease under which it was taken up again; records `ranking.withdraw` for people.

    Raises:
        Refused: ranking_unknown (404).
        Conflict: ranking_replaced, undo_over, training_done, campaign_archived.
    """
    standing, said = _changeable(ranking, labeler)
    now = timezone.now()
    Lease.objects.active().filter(revises=said).update(state=LeaseState.RELEASED, ended_at=now)
    said.withdrawn_at = now
    said.save(update_fields=["withdrawn_at"])
    if labeler.user is not None:
        AuditEvent.record(
            workspace=standing.campaign.workspace, actor=labeler.user, verb="ranking.withdraw", target=said
        )
    if said.repeat == 0 and said.task.role == TaskRole.WORK and not is_set_aside(standing):
        return_slots({said.task_id: 1})
    return said


def _changeable(ranking: Ranking, labeler: Labeler) -> tuple[Participation, Ranking]:
    """The labeler's standing, locked, and the ranking as it is now, if they may change it."""
    if ranking.labeler_id != labeler.pk:
        raise Refused(_("There is no such ranking of yours."), code="ranking_unknown", status=404)
    standing = lock_participation(campaign_id=ranking.task.campaign_id, labeler_id=labeler.pk)
    check_not_archived(standing.campaign)
    said = Ranking.objects.select_related("task__prompt").get(pk=ranking.pk)
    said.task.campaign = standing.campaign
    if said.superseded_by_id is not None or said.withdrawn_at is not None:
        raise Conflict(_("You have replaced this ranking or taken it back already."), code="ranking_replaced")
    if said.task.role == TaskRole.TRAINING:
        raise Conflict(_("A training task is done once; go on with the next one."), code="training_done")
    minutes = standing.campaign.undo_minutes
    if timezone.now() - said.created_at > timedelta(minutes=minutes):
        message = ngettext(
            "A ranking can be changed for %(num)d minute; this one stands.",
            "A ranking can be changed for %(num)d minutes; this one stands.",
            minutes,
        )
        raise Conflict(message % {"num": minutes}, code="undo_over")
    return standing, said


def _said(ranking: Ranking) -> Submission:
    """A stored ranking as it was handed in."""
    return Submission(
        items=[
            SubmittedItem(
                completion_id=item.completion.public_id,
                rank=item.rank,
                unrankable_reason=item.unrankable_reason,
                rating=item.rating,
                flags=item.flags,
                rewrite=item.rewrite.text if item.rewrite else "",
                seen_seconds=item.seen_seconds,
            )
            for item in ranking.items.select_related("completion", "rewrite").order_by("position_shown")
        ],
        none_acceptable=ranking.none_acceptable,
        active_seconds=ranking.active_seconds,
        strength=ranking.strength,
        rationale=ranking.rationale,
        prompt_flags=ranking.prompt_flags,
    )
