"""The demo's workspace and its three logins; passwords are random and kept in var/demo/logins.json (0600)."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from django.db import transaction

from accounts.models import Role, User, Workspace
from accounts.services import add_member_to_workspace, create_user
from config.demo.turn import People

WORKSPACE = "Demo lab"
NAMES = ("manager", "researcher", "labeler")


@transaction.atomic
def demo_people(logins: Path) -> People:
    """The workspace and users of the demo, created the first time."""
    passwords = _passwords(logins)
    workspace, _created = Workspace.objects.get_or_create(name=WORKSPACE)
    users = {name: _user(name, passwords[name]) for name in NAMES}
    for name, role in (("manager", Role.MANAGER), ("researcher", Role.RESEARCHER)):
        if not workspace.memberships.filter(user=users[name]).exists():
            add_member_to_workspace(workspace=workspace, user=users[name], role=role)
    return People(workspace, users["manager"], users["researcher"], users["labeler"])


def _user(name: str, password: str) -> User:
    user = User.objects.filter(username=name).first()
    if user is None:
        return create_user(username=name, password=password)
    if not user.check_password(password):
        user.set_password(password)
        user.save(update_fields=["password"])
    return user


def _passwords(path: Path) -> dict[str, str]:
    if path.exists():
        known: dict[str, str] = json.loads(path.read_text())
        return known
    fresh = {name: secrets.token_urlsafe(9) for name in NAMES}
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as handle:
        json.dump(fresh, handle)
    return fresh


def logins_text(logins: Path) -> str:
    return "\n".join(f"  {name:<11} {password}" for name, password in _passwords(logins).items())
