"""How a workspace's objects are got for a user: 404 for what they may not know of, 403 for what they may not do."""

from __future__ import annotations

from typing import TypeVar
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model, QuerySet
from django.http import Http404
from django.utils.translation import gettext as _

from accounts.models import Role, User, Workspace

M = TypeVar("M", bound=Model)

MANAGES = (Role.OWNER, Role.MANAGER)
"""Roles that run campaigns."""
RESEARCHES = (Role.OWNER, Role.RESEARCHER)
"""Roles that start runs and handle models."""
STAFF = (Role.OWNER, Role.MANAGER, Role.RESEARCHER)
"""Everyone with a role in the workspace; labelers have none."""


def roles_of(user: User | AnonymousUser, workspace: Workspace) -> set[str]:
    if not user.is_authenticated:
        return set()
    return set(workspace.memberships.filter(user_id=user.pk).values_list("role", flat=True))


def workspaces_of(user: User | AnonymousUser, roles: tuple[Role, ...] = STAFF) -> QuerySet[Workspace]:
    """Workspaces in which the user holds one of the roles."""
    return Workspace.objects.filter(memberships__user_id=user.pk or 0, memberships__role__in=roles).order_by("pk")


def workspace_for(
    user: User | AnonymousUser, roles: tuple[Role, ...], public_id: UUID | str | None = None
) -> Workspace:
    """The named workspace, or the user's first one.

    Raises:
        Http404: the user has no role in it.
        PermissionDenied: the user's role does not allow this.
    """
    known = workspaces_of(user)
    if public_id is not None:
        known = known.filter(public_id=public_id)
    allowed = known.filter(memberships__user_id=user.pk or 0, memberships__role__in=roles).first()
    if allowed is not None:
        return allowed
    if public_id is not None and not known.exists():
        raise Http404
    raise PermissionDenied(_("Your role does not allow this; ask the workspace's owner."))


def get_in_workspace(
    user: User | AnonymousUser,
    queryset: QuerySet[M],
    public_id: object,
    *,
    see: tuple[Role, ...] = STAFF,
    do: tuple[Role, ...] | None = None,
) -> M:
    """One object of a model with a `workspace`, scoped to the user.

    Args:
        see: roles that may know of the object; others get 404.
        do: roles that may act on it, where narrower; others get 403.
    """
    try:
        found = queryset.filter(workspace__in=workspaces_of(user, see), public_id=public_id).first()
    except ValidationError:
        # No UUID: from a form's field; a URL's converter lets none through.
        raise Http404 from None
    if found is None:
        raise Http404
    if do is not None and not roles_of(user, found.workspace) & set(do):  # type: ignore[attr-defined]
        raise PermissionDenied(_("Your role does not allow this; ask the workspace's owner."))
    return found
