from __future__ import annotations

from typing import Any

import pytest
from django.db import DatabaseError, transaction

from accounts.access import roles_of
from accounts.errors import Refused
from accounts.models import AuditEvent, Role, User
from accounts.services import add_member_to_workspace, create_user, create_workspace
from accounts.text import check_json, check_text, storable
from tests.cast import PASSWORD, Cast


def test_the_audit_record_only_grows(cast: Cast) -> None:
    event = AuditEvent.objects.filter(actor=cast.owner).latest("pk")
    for change in (
        lambda: AuditEvent.objects.filter(pk=event.pk).update(verb="nothing"),
        lambda: AuditEvent.objects.filter(pk=event.pk).update(actor=cast.alice),
        lambda: AuditEvent.objects.filter(pk=event.pk).update(actor=None, verb="nothing"),
        lambda: AuditEvent.objects.filter(pk=event.pk).delete(),
    ):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            change()

    event.refresh_from_db()
    assert (event.actor, event.verb) == (cast.owner, "workspace.member")


def test_erasing_a_person_drops_their_link_and_keeps_what_was_done(cast: Cast) -> None:
    num_events = AuditEvent.objects.count()
    events = list(AuditEvent.objects.filter(actor=cast.owner).values_list("pk", flat=True))

    cast.owner.delete()

    assert AuditEvent.objects.count() == num_events
    assert set(AuditEvent.objects.filter(pk__in=events).values_list("actor", flat=True)) == {None}


def test_an_owner_gives_roles_and_nobody_else_does(cast: Cast) -> None:
    add_member_to_workspace(workspace=cast.workspace, user=cast.alice, role=Role.RESEARCHER, by=cast.owner)

    assert roles_of(cast.alice, cast.workspace) == {Role.RESEARCHER}
    for user in (cast.manager, cast.researcher, cast.bob, cast.charlie):
        with pytest.raises(Refused) as refused:
            add_member_to_workspace(workspace=cast.workspace, user=cast.bob, role=Role.OWNER, by=user)
        assert (refused.value.code, refused.value.status) == ("owner_needed", 403)
    assert roles_of(cast.bob, cast.workspace) == set()


def test_a_workspace_keeps_an_owner(cast: Cast) -> None:
    with pytest.raises(Refused) as refused:
        add_member_to_workspace(workspace=cast.workspace, user=cast.owner, role=Role.MANAGER, by=cast.owner)
    assert refused.value.code == "last_owner"

    add_member_to_workspace(workspace=cast.workspace, user=cast.alice, role=Role.OWNER, by=cast.owner)
    add_member_to_workspace(workspace=cast.workspace, user=cast.owner, role=Role.MANAGER, by=cast.owner)

    assert roles_of(cast.owner, cast.workspace) == {Role.MANAGER}


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"username": "alice"}, "username_taken"),
        ({"username": "a b"}, "username_invalid"),
        ({"username": ""}, "text_empty"),
        ({"username": "a\x00"}, "nul_byte"),
        ({"password": "password"}, "password_weak"),
        ({"timezone": "Mars/Base"}, "timezone_unknown"),
    ],
)
def test_a_login_that_cannot_be_is_refused(cast: Cast, given: dict[str, Any], code: str) -> None:
    before = User.objects.count()

    with pytest.raises(Refused) as refused:
        create_user(**{"username": "dora", "password": PASSWORD, **given})

    assert refused.value.code == code
    assert User.objects.count() == before


def test_an_unknown_role_and_a_nameless_workspace_are_refused(cast: Cast) -> None:
    with pytest.raises(Refused, match="not a role"):
        add_member_to_workspace(workspace=cast.workspace, user=cast.bob, role="king", by=cast.owner)
    with pytest.raises(Refused, match="empty"):
        create_workspace(name="  ", owner=cast.bob)


def test_text_is_checked_in_the_order_in_which_it_could_do_harm() -> None:
    assert check_text("fine\n", what="It", max_characters=5) == "fine\n"
    for value, code in (
        (7, "text_not_string"),
        ("\x00", "nul_byte"),
        ("\udfff", "lone_surrogate"),
        ("\n", "text_empty"),
        ("123456", "text_too_long"),
    ):
        with pytest.raises(Refused, match=r"^It ") as refused:
            check_text(value, what="It", max_characters=5)
        assert refused.value.code == code


def test_json_is_checked_to_its_last_key() -> None:
    check_json({"a": [1, None, True, 2.5, "é😀"]}, what="It", max_characters=5)
    deep: list[object] = []
    for _level in range(30):
        deep = [deep]
    for value in ({"a": [{"b": "\x00"}]}, {"\ud800": 1}, [float("nan")], ["123456"], deep):
        with pytest.raises(Refused):
            check_json(value, what="It", max_characters=5)


def test_what_a_model_wrote_becomes_storable() -> None:
    assert storable("a\x00b\ud800c😀") == "a\ufffdb\ufffdc😀"
