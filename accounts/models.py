"""People, the workspaces they share, and the append-only record of what was done."""

from __future__ import annotations

import uuid
import zoneinfo
from typing import Any

from django.contrib.auth.models import AbstractUser
from django.contrib.sessions.base_session import AbstractBaseSession
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.writes import Addition, Part


class PublicModel(models.Model):
    """An integer key inside, a UUID in URLs and in the API."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)

    class Meta:
        abstract = True


def check_timezone(name: str) -> None:
    """Refuse what the IANA database has no zone for; a validator of the admin's form."""
    if name not in zoneinfo.available_timezones():
        raise ValidationError(_("%(zone)s is not a known time zone."), code="timezone_unknown", params={"zone": name})


class User(PublicModel, AbstractUser):
    timezone = models.CharField(_("time zone"), max_length=64, blank=True, validators=[check_timezone])
    """A name of the IANA database; empty leaves it to the browser's clock."""
    language = models.CharField(_("language"), max_length=10, blank=True)
    """A code of LANGUAGES; empty leaves it to the browser."""

    def __str__(self) -> str:
        return self.get_full_name() or self.username


class Workspace(PublicModel):
    name = models.CharField(_("name"), max_length=120)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class Role(models.TextChoices):
    OWNER = "owner", _("Owner")
    MANAGER = "manager", _("Manager")
    RESEARCHER = "researcher", _("Researcher")


class WorkspaceMembership(models.Model):
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="workspace_memberships")
    role = models.CharField(max_length=20, choices=Role)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "user"], name="one_role_per_workspace")]

    def __str__(self) -> str:
        return f"{self.user} · {self.get_role_display()}"


class Session(AbstractBaseSession):
    """A browser's session as Django keeps it, and whose it is: where a person is deleted, theirs go too."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sessions", null=True)
    """As in its data; null before sign-in."""

    @classmethod
    def get_session_store_class(cls) -> type[Any]:
        from accounts.sessions import SessionStore

        return SessionStore


class SignInAttempt(models.Model):
    """A sign-in that has not succeeded, kept for minutes to slow down guessing; person and address are hashes."""

    person = models.CharField(max_length=64)
    address = models.CharField(max_length=64)
    at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        indexes = [
            models.Index(fields=["person", "at"], name="attempts_for_person"),
            models.Index(fields=["address", "at"], name="attempts_from_address"),
        ]

    def __str__(self) -> str:
        return f"{self.person[:8]} from {self.address[:8]}"


class AuditEvent(models.Model):
    """What was done, by whom, to what. Rows are only ever added; a database trigger refuses UPDATE and DELETE."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="audit_events", null=True)
    actor = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+", db_constraint=False)
    verb = models.CharField(max_length=60)
    target = models.CharField(max_length=120)
    data = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    def __str__(self) -> str:
        return f"{self.verb} {self.target}"

    @classmethod
    def record(
        cls, *, workspace: Workspace | None, actor: User | None, verb: str, target: models.Model, **data: Any
    ) -> AuditEvent:
        """Write one event; call it inside the transaction of the change it tells of."""
        return EVENTS.one(cls(workspace=workspace, actor=actor, verb=verb, target=_name(target), data=data))

    @classmethod
    def part(cls, *, workspace_id: int, actor_id: int, verb: str, target: PublicModel) -> Part:
        """`record`, to be written beside the change, which may be the target's own addition."""
        return EVENTS.part(cls(workspace_id=workspace_id, actor_id=actor_id, verb=verb, target=_name(target)))


def _name(target: models.Model) -> str:
    return f"{target._meta.label_lower}:{getattr(target, 'public_id', target.pk)}"


EVENTS = Addition(AuditEvent)
