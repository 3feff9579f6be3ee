"""The only way to get a run for a user."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser

from accounts.access import RESEARCHES, get_in_workspace
from accounts.models import User
from runs.models import Run


def get_run(user: User | AnonymousUser, public_id: object, *, do: bool = False) -> Run:
    """A run of a workspace where the user is staff; labelers get 404. With `do`, managers get 403: researchers act."""
    runs = Run.objects.select_related("workspace", "created_by")
    return get_in_workspace(user, runs, public_id, do=RESEARCHES if do else None)
