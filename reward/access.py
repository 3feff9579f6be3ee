"""Snapshots and reward models, scoped to the workspaces of a user; labelers see neither."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404
from django.utils.translation import gettext as _

from accounts.access import RESEARCHES, STAFF, get_in_workspace, roles_of, workspaces_of
from accounts.models import User
from annotation.models import Completion
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


def get_reward_model(user: User | AnonymousUser, public_id: object, *, do: bool = False) -> RewardModel:
    """404 for outsiders and labelers, 403 for staff who may not do research where `do` is set."""
    return get_in_workspace(user, reward_models_seen_by(user), public_id, see=STAFF, do=RESEARCHES if do else None)


def get_completion(user: User | AnonymousUser, public_id: object, *, do: bool = False) -> Completion:
    """An answer with its prompt and campaign: 404 for outsiders and labelers, 403 for staff who may not do research."""
    seen = Completion.objects.filter(prompt__campaign__workspace__in=workspaces_of(user, STAFF), public_id=public_id)
    found = seen.select_related("prompt__campaign__workspace").first()
    if found is None:
        raise Http404
    if do and not roles_of(user, found.prompt.campaign.workspace) & set(RESEARCHES):
        raise PermissionDenied(_("Your role does not allow this; ask the workspace's owner."))
    return found
