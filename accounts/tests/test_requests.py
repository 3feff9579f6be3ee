"""What every request reads: the session, the person, the header's rooms; and statements that are written once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from csp.decorators import csp_exempt, csp_replace
from csp.utils import build_policy
from django.db import DatabaseError, connection, transaction
from django.db.models import Model
from django.http import HttpResponse
from django.template import Context, Template
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.context import navigation
from accounts.middleware import PolicyMiddleware
from accounts.models import Role, Session, User, WorkspaceMembership
from accounts.sessions import SessionStore, take_person
from accounts.statements import Given, Statement, cursor
from tests.cast import Cast, web

MEMBER = Statement(
    lambda: WorkspaceMembership.objects.select_related("user", "workspace").filter(
        user__username=Given("name"), role=Given("role")
    )
)


def columns(row: Model) -> dict[str, object]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def test_a_statement_makes_the_objects_that_its_queryset_makes(cast: Cast) -> None:
    found = MEMBER.first(name="max", role=Role.MANAGER)
    assert found is not None
    with CaptureQueriesContext(connection) as queries:
        expected = (WorkspaceMembership, User), (found.user, cast.manager), (found.workspace, cast.workspace)
        assert columns(found) == columns(WorkspaceMembership.objects.get(pk=found.pk))
        assert [columns(row) for row, _same in expected[1:]] == [columns(same) for _row, same in expected[1:]]
    # Those of `select_related` came with it.
    assert len(queries) == 1


def test_a_statement_takes_other_values_every_time_and_tells_its_objects_apart(cast: Cast) -> None:
    assert [row.user_id for row in MEMBER.all(name="rita", role=Role.RESEARCHER)] == [cast.researcher.pk]
    assert [row.user_id for row in MEMBER.all(name="max", role=Role.MANAGER)] == [cast.manager.pk]
    assert MEMBER.first(name="max", role=Role.OWNER) is None
    # A value is data, never SQL.
    assert MEMBER.all(name="max' OR '1' = '1", role=Role.MANAGER) == []


def test_objects_of_a_statement_can_be_saved(cast: Cast) -> None:
    found = MEMBER.first(name="max", role=Role.MANAGER)
    assert found is not None
    found.role = Role.RESEARCHER
    found.save(update_fields=["role"])
    assert MEMBER.first(name="max", role=Role.MANAGER) is None
    assert WorkspaceMembership.objects.filter(pk=found.pk, role=Role.RESEARCHER).exists()


def test_a_value_that_is_not_named_is_an_error(cast: Cast) -> None:
    with pytest.raises(KeyError, match="role"):
        MEMBER.first(name="max")


def test_a_session_that_ended_or_was_signed_out_opens_nothing(cast: Cast) -> None:
    client = web(cast.manager)
    key = client.session.session_key
    assert SessionStore(key).load()["_auth_user_id"] == str(cast.manager.pk)
    assert client.get("/").status_code == 200
    Session.objects.filter(session_key=key).update(expire_date=timezone.now() - timedelta(seconds=1))
    assert SessionStore(key).load() == {}
    assert client.get("/").status_code == 302
    assert SessionStore(uuid4().hex).load() == {}
    other = web(cast.manager)
    gone = other.session.session_key
    other.post("/sign-out/")
    assert SessionStore(gone).load() == {}


@pytest.mark.parametrize("change", [{"is_active": False}, {"password": "another"}], ids=str)
def test_a_person_who_was_deactivated_or_changed_their_password_is_out_at_once(
    cast: Cast, change: dict[str, object]
) -> None:
    client = web(cast.manager)
    assert client.get("/").status_code == 200
    User.objects.filter(pk=cast.manager.pk).update(**change)
    assert client.get("/").status_code == 302


def test_a_request_reads_session_and_person_at_once(cast: Cast) -> None:
    client = web(cast.manager)
    with CaptureQueriesContext(connection) as queries:
        client.get("/api/v1/me/")
    assert [query["sql"].count('"accounts_user"."username"') for query in queries][:1] == [1]
    assert sum('FROM "accounts_user"' in query["sql"] for query in queries) == 0


def test_the_person_of_one_session_is_not_the_next_ones(cast: Cast) -> None:
    """Two requests in one thread, where the first asked for nobody."""
    theirs, others = web(cast.manager), web(cast.alice)
    assert SessionStore(theirs.session.session_key).load()["_auth_user_id"] == str(cast.manager.pk)
    assert take_person(cast.alice.pk) is None
    assert SessionStore(theirs.session.session_key).load()
    assert others.get("/api/v1/me/").json()["username"] == "alice"
    assert theirs.get("/api/v1/me/").json()["username"] == "max"
    assert take_person(cast.manager.pk) is None


def test_sessions_know_whose_they_are_and_go_with_them(cast: Cast) -> None:
    client = web(cast.bob)
    assert Session.objects.get(pk=client.session.session_key).user == cast.bob
    cast.bob.delete()
    assert not Session.objects.filter(pk=client.session.session_key).exists()
    assert Client().get("/sign-in/").status_code == 200


def test_a_forged_session_cookie_is_nobody(db: None) -> None:
    client = Client()
    client.cookies["sessionid"] = "x' OR '1' = '1"
    assert client.get("/").status_code == 302


def rooms(user: User, template: str) -> str:
    request = RequestFactory().get("/")
    request.user = user
    return Template(template).render(Context(navigation(request)))


HEADER = (
    "{% if is_manager %}m{% endif %}{% if is_researcher %}r{% endif %}{% if workspace %}{{ workspace.name }}{% endif %}"
)


def test_the_header_knows_whose_rooms_are_open(cast: Cast) -> None:
    assert rooms(cast.owner, HEADER) == "mrPlumb Lab"
    assert rooms(cast.manager, HEADER) == "mPlumb Lab"
    assert rooms(cast.researcher, HEADER) == "rPlumb Lab"
    assert rooms(cast.alice, HEADER) == ""
    assert rooms(cast.charlie, HEADER) == "mrElsewhere"


def test_a_part_without_a_header_asks_nothing_and_a_header_asks_once(cast: Cast) -> None:
    with CaptureQueriesContext(connection) as queries:
        rooms(cast.manager, "a part")
    assert len(queries) == 0
    with CaptureQueriesContext(connection) as queries:
        rooms(cast.manager, HEADER * 2)
    assert len(queries) == 1


def test_statements_share_one_cursor_until_the_connection_is_another(transactional_db: None) -> None:
    first = cursor()

    assert MEMBER.all(name="max", role=Role.MANAGER) == []
    assert cursor() is first
    connection.close()
    assert MEMBER.all(name="max", role=Role.MANAGER) == []
    assert cursor() is not first


def test_a_statement_that_failed_leaves_its_cursor_usable(cast: Cast) -> None:
    broken = Statement(lambda: User.objects.filter(pk=Given("pk")))

    with pytest.raises(DatabaseError), transaction.atomic():
        broken.all(pk="no number")

    assert MEMBER.first(name="max", role=Role.MANAGER) is not None


def test_all_answers_carry_the_policy_and_a_view_may_have_its_own(client: Client, rf: RequestFactory) -> None:
    seen = {path: client.get(path).headers["Content-Security-Policy"] for path in ("/sign-in/", "/api/v1/me/")}
    assert set(seen.values()) == {build_policy()}
    assert "script-src 'self'" in build_policy()

    def respond(decorate: Callable[..., Any]) -> str | None:
        view = decorate(lambda request: HttpResponse("x"))
        answer = PolicyMiddleware(view)(rf.get("/"))
        assert isinstance(answer, HttpResponse)
        return answer.headers.get("Content-Security-Policy")

    assert respond(lambda view: view) == build_policy()
    assert "img-src example.org" in (respond(csp_replace({"img-src": ["example.org"]})) or "")
    assert respond(csp_exempt()) is None


def test_the_api_answers_json_whatever_is_asked_for(cast: Cast) -> None:
    answer = web(cast.manager).get("/api/v1/me/", HTTP_ACCEPT="text/html")

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
