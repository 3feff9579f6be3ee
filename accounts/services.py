"""Workspaces, the people in them, and their API tokens."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _
from knox.models import AuthToken

from accounts.access import roles_of
from accounts.errors import Conflict, Refused
from accounts.models import AuditEvent, Role, User, Workspace, WorkspaceMembership, check_timezone
from accounts.text import check_text

NAME_MAX_CHARACTERS = 120


@transaction.atomic
def create_workspace(*, name: str, owner: User) -> Workspace:
    """Create a workspace that `owner` owns.

    Also: records `workspace.create`.

    Raises:
        Refused: the codes of `check_text`.
    """
    check_text(name, what=_("The name"), max_characters=NAME_MAX_CHARACTERS)
    workspace = Workspace.objects.create(name=name.strip())
    WorkspaceMembership.objects.create(workspace=workspace, user=owner, role=Role.OWNER)
    AuditEvent.record(workspace=workspace, actor=owner, verb="workspace.create", target=workspace)
    return workspace


@transaction.atomic
def create_user(
    *,
    username: str,
    password: str,
    by: User | None = None,
    first_name: str = "",
    last_name: str = "",
    email: str = "",
    timezone: str = "",
    is_superuser: bool = False,
) -> User:
    """Create a login; what it may do comes from workspaces and campaigns.

    Also: records `user.create`.

    Raises:
        Refused: username_taken, username_invalid, password_weak, timezone_unknown or the codes of `check_text`.
    """
    check_text(username, what=_("The user name"), max_characters=150)
    user = User(
        username=username,
        first_name=first_name,
        last_name=last_name,
        email=email,
        timezone=timezone,
        is_superuser=is_superuser,
        is_staff=is_superuser,
    )
    _check_login(user, password)
    user.set_password(password)
    try:
        with transaction.atomic():
            user.save()
    except IntegrityError:
        raise Conflict(
            _("The user name %(name)s is taken; choose another.") % {"name": username}, code="username_taken"
        ) from None
    AuditEvent.record(workspace=None, actor=by, verb="user.create", target=user)
    return user


def _check_login(user: User, password: str) -> None:
    try:
        if user.timezone:
            check_timezone(user.timezone)
    except ValidationError as error:
        raise Refused(" ".join(error.messages), code="timezone_unknown") from None
    try:
        User.username_validator(user.username)
    except ValidationError as error:
        raise Refused(" ".join(error.messages), code="username_invalid") from None
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Refused(" ".join(error.messages), code="password_weak") from None


@transaction.atomic
def add_member_to_workspace(
    *, workspace: Workspace, user: User, role: str, by: User | None = None
) -> WorkspaceMembership:
    """Give `user` a role in the workspace, or change the one they have.

    Also: records `workspace.member`.

    Args:
        by: who does it, an owner; None for commands run on the machine itself.

    Raises:
        Refused: role_unknown, owner_needed, last_owner.
    """
    if role not in Role.values:
        raise Refused(_("%(role)s is not a role in a workspace.") % {"role": role}, code="role_unknown")
    # One change of roles at a time, so that two owners cannot demote each other.
    Workspace.objects.select_for_update().get(pk=workspace.pk)
    if by is not None and Role.OWNER not in roles_of(by, workspace):
        raise Refused(_("Only an owner changes who is in a workspace."), code="owner_needed", status=403)
    others = workspace.memberships.filter(role=Role.OWNER).exclude(user=user)
    if role != Role.OWNER and Role.OWNER in roles_of(user, workspace) and not others.exists():
        raise Conflict(_("A workspace needs an owner; name another one first."), code="last_owner")
    membership, _created = WorkspaceMembership.objects.update_or_create(
        workspace=workspace, user=user, defaults={"role": role}
    )
    AuditEvent.record(
        workspace=workspace, actor=by, verb="workspace.member", target=workspace, user=str(user.public_id), role=role
    )
    return membership


def choose_language(*, user: User, language: str) -> None:
    """Show every page to this person in `language`, on whatever machine; empty leaves it to the browser again.

    Raises:
        Refused: language_unknown.
    """
    if language and language not in dict(settings.LANGUAGES):
        known = ", ".join(dict(settings.LANGUAGES))
        raise Refused(
            _("There is no translation into %(language)s; choose one of %(known)s.")
            % {"language": language, "known": known},
            code="language_unknown",
        )
    user.language = language
    user.save(update_fields=["language"])


@transaction.atomic
def create_token(*, user: User) -> tuple[AuthToken, str]:
    """Create an API token; the second value is its text, which is shown once and stored only as a hash.

    Also: records `token.create`.
    """
    token, text = AuthToken.objects.create(user=user)
    AuditEvent.record(workspace=None, actor=user, verb="token.create", target=user, token_key=token.token_key)
    return token, text


@transaction.atomic
def revoke_token(*, user: User, token_key: str) -> None:
    """Make one of the user's tokens useless at once.

    Also: records `token.revoke`.

    Raises:
        Refused: token_unknown (404).
    """
    deleted, _rows = AuthToken.objects.filter(user=user, token_key=token_key).delete()
    if not deleted:
        raise Refused(_("You have no such token."), code="token_unknown", status=404)
    AuditEvent.record(workspace=None, actor=user, verb="token.revoke", target=user, token_key=token_key)
