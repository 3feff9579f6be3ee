from __future__ import annotations

from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request

from accounts.models import User


def person(request: Request) -> User:
    """The signed-in user; views behind `IsAuthenticated` have one."""
    if not isinstance(request.user, User):
        raise NotAuthenticated
    return request.user
