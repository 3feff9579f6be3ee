"""Snapshots and reward models, scoped to the workspaces of a user; labelers see neither."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet

from accounts.access import RESEARCHES, STAFF, get_in_workspace, workspaces_of
from accounts.models import User
from reward.models import RewardModel, Snapshot


def snapshots_seen_by(user: User | AnonymousUser) -> QuerySet[Snapshot]:
    return Snapshot.objects.filter(workspace__in=workspaces_of(user)).select_related("campaign").order_by("-pk")


def reward_models_seen_by(user: User | AnonymousUser) -> QuerySet[RewardModel]:
    return (
        RewardModel.objects.filter(workspace__in=workspaces_of(user))
        .select_related("snapshot__campaign", "run")
        .order_by("-pk")
    )


def get_snapshot(user: User | AnonymousUser, public_id: object, *, do: bool = False) -> Snapshot:
    """404 for outsiders and labelers, 403 for staff who may not train where `do` is set."""
    return get_in_workspace(user, snapshots_seen_by(user), public_id, see=STAFF, do=RESEARCHES if do else None)


def get_reward_model(user: User | AnonymousUser, public_id: object) -> RewardModel:
    return get_in_workspace(user, reward_models_seen_by(user), public_id, see=STAFF)
