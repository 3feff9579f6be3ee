"""Checkpoints, lineages and win-rate studies, scoped to the workspaces of a user; labelers see none of them."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet
from django.http import Http404

from accounts.access import RESEARCHES, STAFF, get_in_workspace, workspaces_of
from accounts.models import User
from policy.models import Checkpoint, Follow, Lineage, WinRateStudy


def checkpoints_seen_by(user: User | AnonymousUser) -> QuerySet[Checkpoint]:
    return (
        Checkpoint.objects.filter(workspace__in=workspaces_of(user))
        .select_related("lineage", "parent", "run", "reward_model")
        .order_by("lineage_id", "-number")
    )


def lineages_seen_by(user: User | AnonymousUser) -> QuerySet[Lineage]:
    return Lineage.objects.filter(workspace__in=workspaces_of(user)).order_by("name")


def follows_seen_by(user: User | AnonymousUser) -> QuerySet[Follow]:
    return (
        Follow.objects.filter(lineage__workspace__in=workspaces_of(user))
        .select_related("campaign", "lineage")
        .order_by("-pk")
    )


def studies_seen_by(user: User | AnonymousUser) -> QuerySet[WinRateStudy]:
    return (
        WinRateStudy.objects.filter(campaign__workspace__in=workspaces_of(user))
        .select_related("campaign", "candidate__lineage", "baseline__lineage", "run")
        .order_by("-pk")
    )


def get_checkpoint(user: User | AnonymousUser, public_id: object, *, do: bool = False) -> Checkpoint:
    """404 for outsiders and labelers, 403 for staff who may not train where `do` is set."""
    return get_in_workspace(user, checkpoints_seen_by(user), public_id, see=STAFF, do=RESEARCHES if do else None)


def get_lineage(user: User | AnonymousUser, public_id: object, *, do: bool = False) -> Lineage:
    return get_in_workspace(user, lineages_seen_by(user), public_id, see=STAFF, do=RESEARCHES if do else None)


def get_study(user: User | AnonymousUser, public_id: UUID | str) -> WinRateStudy:
    found = studies_seen_by(user).filter(public_id=public_id).first()
    if found is None:
        raise Http404
    return found
