"""The only ways to get the labelling room's objects for a user: by a role in the workspace, or by a seat."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db.models import OuterRef, Q, QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404

from accounts.access import MANAGES, STAFF, get_in_workspace, workspaces_of
from accounts.models import User
from accounts.statements import Given, Statement
from annotation.models import Campaign, Labeler, Lease, Membership, Participation, Ranking, Task
from annotation.querysets import placed_answers
from annotation.services.labelers import labeler_for
from annotation.services.participations import lock_participation, locked
from annotation.states import CampaignState


def _at_work(standings: QuerySet[Participation]) -> QuerySet[Participation]:
    return standings.filter(
        ~Q(campaign__state=CampaignState.ARCHIVED),
        campaign__public_id=Given("campaign"),
        campaign__memberships__user_id=Given("user"),
        labeler__user_id=Given("user"),
    )


WORK = Statement(lambda: _at_work(Participation.objects.select_related("campaign", "labeler")))
WORK_LOCKED = Statement(lambda: _at_work(locked("labeler")))


def _own_leases(*with_: str, answers: bool = False) -> QuerySet[Lease]:
    own = Lease.objects.select_related(*with_).filter(
        public_id=Given("lease"),
        labeler__user_id=Given("user"),
        task__campaign__memberships__user_id=Given("user"),
    )
    return own.annotate(placed=placed_answers(OuterRef("task"))) if answers else own


WHOLE = ("task__campaign__workspace", "task__prompt", "labeler__user")
LEASE = Statement(lambda: _own_leases(*WHOLE))
LEASE_WITH_ANSWERS = Statement(lambda: _own_leases(*WHOLE, answers=True))
LEASE_TO_SUBMIT = Statement(lambda: _own_leases("task__campaign", "labeler", answers=True))
"""With its answers, and nothing that only a page shows."""


def id_of(user: User | AnonymousUser) -> int:
    """The user's key, or 0, which is nobody's: a lookup by None would find the rows that have no user."""
    return user.pk or 0


def campaigns_seen_by(user: User | AnonymousUser) -> QuerySet[Campaign]:
    """Campaigns of the workspaces in which the user has a role, newest first."""
    return Campaign.objects.filter(workspace__in=workspaces_of(user, STAFF)).select_related("workspace").order_by("-pk")


def campaigns_worked_by(user: User | AnonymousUser) -> QuerySet[Campaign]:
    """Open campaigns in which the user has a seat, by name."""
    return (
        Campaign.objects.open()
        .filter(memberships__user_id=id_of(user))
        .select_related("workspace")
        .order_by("name", "pk")
    )


def get_campaign(user: User | AnonymousUser, public_id: UUID | str, *, manage: bool = False) -> Campaign:
    """A campaign for the staff of its workspace.

    Raises:
        Http404: the user has no role in the workspace; a labeler's seat does not count.
        PermissionDenied: `manage` and the user is neither owner nor manager.
    """
    campaigns = Campaign.objects.select_related("workspace")
    return get_in_workspace(user, campaigns, public_id, do=MANAGES if manage else None)


def get_labeler(campaign: Campaign, public_id: UUID | str) -> Labeler:
    """Somebody who was given a task of the campaign, or whose rankings were imported into it.

    Raises:
        Http404: anybody else.
    """
    labelers = Labeler.objects.select_related("user").filter(
        Q(pk__in=Ranking.objects.filter(task__campaign=campaign).values("labeler"))
        | Q(pk__in=Lease.objects.filter(task__campaign=campaign).values("labeler"))
    )
    return get_object_or_404(labelers, public_id=public_id)


def get_seat(campaign: Campaign, user_id: UUID | str) -> Membership:
    """The seat of a person, by their public id.

    Raises:
        Http404: they have none in this campaign.
    """
    return get_object_or_404(campaign.memberships.select_related("user", "campaign"), user__public_id=user_id)


def get_task(campaign: Campaign, public_id: UUID | str) -> Task:
    """A task of the campaign, of whatever role.

    Raises:
        Http404: there is none.
    """
    return get_object_or_404(campaign.tasks.select_related("campaign__workspace", "prompt"), public_id=public_id)


def get_work(user: User, public_id: UUID | str) -> tuple[Campaign, Labeler]:
    """A campaign that the user has a seat in, whatever its state short of archived, and who they are there.

    Also: makes the labeler who stands for them when they first come.

    Raises:
        Http404: no seat, or archived.
    """
    standing = WORK.first(campaign=UUID(str(public_id)), user=user.pk)
    if standing is not None:
        return standing.campaign, standing.labeler
    seats = Campaign.objects.not_archived().filter(memberships__user=user).select_related("workspace")
    campaign = get_object_or_404(seats, public_id=public_id)
    return campaign, labeler_for(workspace=campaign.workspace, user=user)


def lock_work(user: User, public_id: UUID | str) -> Participation:
    """`get_work` for `claim_next`: where the user stands in a campaign, found and locked by one statement.

    Raises:
        Http404: no seat, or archived.
    """
    standing = WORK_LOCKED.first(campaign=UUID(str(public_id)), user=user.pk)
    if standing is None:
        campaign, labeler = get_work(user, public_id)
        standing = lock_participation(campaign_id=campaign.pk, labeler_id=labeler.pk)
        standing.labeler = labeler
    return standing


def get_lease(user: User | AnonymousUser, public_id: UUID | str, read: Statement[Lease] = LEASE) -> Lease:
    """A lease of the user's own, in a campaign where they still have a seat.

    Args:
        read: what is read with it: LEASE, LEASE_WITH_ANSWERS or LEASE_TO_SUBMIT.

    Raises:
        Http404: somebody else's, or the seat is gone.
    """
    lease = read.first(lease=UUID(str(public_id)), user=id_of(user))
    if lease is None:
        raise Http404
    lease.task.placed = getattr(lease, "placed", None)
    return lease


def get_own_ranking(user: User | AnonymousUser, public_id: UUID | str) -> Ranking:
    """A ranking of the user's own, in a campaign where they still have a seat.

    Raises:
        Http404: somebody else's, or the seat is gone.
    """
    rankings = Ranking.objects.select_related("task__campaign__workspace", "labeler__user").filter(
        labeler__user_id=id_of(user), task__campaign__memberships__user_id=id_of(user)
    )
    return get_object_or_404(rankings, public_id=public_id)
