from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from accounts.models import Role


def navigation(request: HttpRequest) -> dict[str, Any]:
    """What the page's header needs: which rooms this user may enter."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {"is_manager": False, "is_researcher": False, "workspace": None}
    memberships = list(user.workspace_memberships.select_related("workspace").order_by("workspace_id"))
    roles = {membership.role for membership in memberships}
    return {
        "is_manager": bool(roles & {Role.OWNER, Role.MANAGER}),
        "is_researcher": bool(roles & {Role.OWNER, Role.RESEARCHER}),
        "workspace": memberships[0].workspace if memberships else None,
    }
