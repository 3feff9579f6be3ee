from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject, cached_property

from accounts.models import Role, User, Workspace, WorkspaceMembership


class Navigation:
    """Which rooms a person may enter; asked of the database when a template asks for it, and once."""

    def __init__(self, user: User) -> None:
        self._user = user

    @cached_property
    def _memberships(self) -> list[WorkspaceMembership]:
        return list(self._user.workspace_memberships.select_related("workspace").order_by("workspace_id"))

    def holds(self, *roles: Role) -> bool:
        return any(membership.role in roles for membership in self._memberships)

    def workspace(self) -> Workspace | None:
        return self._memberships[0].workspace if self._memberships else None


def navigation(request: HttpRequest) -> dict[str, Any]:
    """What the page's header needs; a part of a page has no header, so nothing is asked for it."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {"is_manager": False, "is_researcher": False, "workspace": None}
    found = Navigation(user)
    return {
        "is_manager": SimpleLazyObject(lambda: found.holds(Role.OWNER, Role.MANAGER)),
        "is_researcher": SimpleLazyObject(lambda: found.holds(Role.OWNER, Role.RESEARCHER)),
        "workspace": SimpleLazyObject(found.workspace),
    }
