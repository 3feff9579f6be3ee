"""Every route by every role, and what a labeler can and cannot learn."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from annotation.api.urls import urlpatterns
from annotation.models import Campaign, Completion, Lease, Membership, Prompt, Ranking, Task
from annotation.services import add_completions, claim_task, skip_task, submit_ranking
from annotation.services.content import NewCompletion
from annotation.tests import test_quality_api
from tests.cast import Cast, api, make_campaign, make_cast, make_prompt, make_task, rank_task, submission, web

ROLES = ("owner", "manager", "researcher", "alice", "charlie", None)


@dataclass
class Scene:
    cast: Cast
    campaign: Campaign
    task: Task
    lease: Lease
    """Alice's."""

    def urls(self) -> dict[str, str]:
        campaign = f"/api/v1/campaigns/{self.campaign.public_id}/"
        lease = f"/api/v1/leases/{self.lease.public_id}/"
        work = f"/api/v1/work/{self.campaign.public_id}/"
        return {"campaign": campaign, "lease": lease, "work": f"{work}next/", "rankings": f"{work}rankings/"}

    def user(self, role: str | None) -> User | None:
        return getattr(self.cast, role) if role else None


def make_scene() -> Scene:
    cast = make_cast()
    campaign = make_campaign(cast, overlap=2)
    task = make_task(campaign, answers=("one", "two", "three"))
    lease = claim_task(campaign=campaign, labeler=cast.labeler(cast.alice))
    assert lease is not None
    return Scene(cast, campaign, task, lease)


def call(scene: Scene, role: str | None, method: str, url: str, body: Any = None) -> Any:
    return getattr(api(scene.user(role)), method)(url, body, format="json")


READS = ["", "progress/", "agreement/", "labelers/", "guidelines/", "members/", "prompts/", "completions/", "tasks/"]


@pytest.mark.parametrize("path", [*READS, "rankings/"])
def test_campaigns_are_read_by_their_workspaces_staff_only(scene: Scene, path: str) -> None:
    url = scene.urls()["campaign"] + path

    found = {role: call(scene, role, "get", url).status_code for role in ROLES}

    assert found == {"owner": 200, "manager": 200, "researcher": 200, "alice": 404, "charlie": 404, None: 401}


WRITES: list[tuple[str, str, dict[str, Any] | None]] = [
    ("patch", "", {"name": "New"}),
    ("post", "close/", None),
    ("post", "archive/", None),
    ("post", "open/", None),
    ("post", "guidelines/", {"text": "New"}),
    ("post", "members/", {"username": "bob"}),
    ("post", "prompts/", {"prompts": [{"prompt": "New?"}]}),
    ("post", "completions/", {"source": "x", "completions": []}),
    ("post", "tasks/", {"tasks": []}),
    ("post", "import/", None),
    ("post", "simulate/", {"names": ["nobody"]}),
]


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
def test_campaigns_are_changed_by_owners_and_managers_only(scene: Scene, method: str, path: str, body: Any) -> None:
    url = scene.urls()["campaign"] + path

    found = {
        role: call(scene, role, method, url, body).status_code for role in ROLES if role not in {"owner", "manager"}
    }
    allowed = {call(scene, role, method, url, body).status_code for role in ("owner", "manager")}

    assert found == {"researcher": 403, "alice": 404, "charlie": 404, None: 401}
    assert not allowed & {401, 403, 404, 405, 500}


def test_a_seat_is_taken_away_by_managers_only(scene: Scene) -> None:
    url = f"{scene.urls()['campaign']}members/{scene.cast.bob.public_id}/"

    found = {role: call(scene, role, "delete", url).status_code for role in ("researcher", "alice", "charlie", None)}

    assert found == {"researcher": 403, "alice": 404, "charlie": 404, None: 401}
    assert call(scene, "manager", "delete", url).status_code == 204
    assert set(Membership.objects.values_list("user__username", flat=True)) == {"alice"}
    assert call(scene, "manager", "delete", url).json()["error"]["code"] == "not_a_member"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("get", "", None),
        ("post", "renew/", None),
        ("put", "draft/", {"draft": {"a": 1}}),
        ("post", "submit/", {"items": []}),
        ("post", "report/", {"kind": "broken"}),
        ("post", "skip/", {"reason": "broken"}),
        ("post", "release/", None),
    ],
)
def test_a_lease_is_its_labelers_alone(scene: Scene, method: str, path: str, body: Any) -> None:
    url = scene.urls()["lease"] + path
    others = ("owner", "manager", "researcher", "bob", "charlie", None)

    found = {role: call(scene, role, method, url, body).status_code for role in others}

    assert found == dict.fromkeys(others[:-1], 404) | {None: 401}
    assert call(scene, "alice", method, url, body).status_code in {200, 201, 400}


def test_work_is_claimed_by_those_with_a_seat_only(scene: Scene) -> None:
    found = {role: call(scene, role, "post", scene.urls()["work"]).status_code for role in (*ROLES, "bob")}

    assert found == {
        "owner": 404,
        "manager": 404,
        "researcher": 404,
        "alice": 200,
        "bob": 200,
        "charlie": 404,
        None: 401,
    }


def test_a_ranking_is_changed_by_whoever_said_it_alone(scene: Scene) -> None:
    ranking = submit_ranking(lease=scene.lease, submission=submission(scene.lease)).ranking
    url = f"/api/v1/rankings/{ranking.public_id}/"
    others = ("owner", "manager", "researcher", "bob", "charlie", None)

    for path in ("revise/", "withdraw/"):
        found = {role: call(scene, role, "post", url + path).status_code for role in others}
        assert found == dict.fromkeys(others[:-1], 404) | {None: 401}
        assert call(scene, "alice", "post", url + path).status_code == 200

    assert {role: call(scene, role, "get", scene.urls()["rankings"]).status_code for role in others} == {
        **dict.fromkeys(others, 404),
        "bob": 200,
        None: 401,
    }


def test_second_thoughts_over_the_api(scene: Scene) -> None:
    submit_ranking(lease=scene.lease, submission=submission(scene.lease, [1, 2, 2], rationale="so"))
    (said,) = call(scene, "alice", "get", scene.urls()["rankings"]).json()
    assert (said["prompt"], said["withdrawn_at"]) == ("Why is the sky blue?", None)
    url = f"/api/v1/rankings/{said['id']}/"

    again = call(scene, "alice", "post", url + "revise/").json()
    assert [answer["id"] for answer in again["answers"]] == scene.lease.shown
    assert (again["draft"]["rationale"], [item["rank"] for item in again["draft"]["items"]]) == ("so", [1, 2, 2])
    sent = call(
        scene,
        "alice",
        "post",
        f"/api/v1/leases/{again['id']}/submit/",
        as_body(scene.lease, 2, 1, None, rationale="no"),
    )
    assert (sent.status_code, sent.json()["feedback"]) == (201, None)
    (now,) = call(scene, "alice", "get", scene.urls()["rankings"]).json()
    assert now["id"] == sent.json()["ranking"] != said["id"]
    assert call(scene, "alice", "post", url + "withdraw/").json()["error"]["code"] == "ranking_replaced"
    gone = call(scene, "alice", "post", f"/api/v1/rankings/{now['id']}/withdraw/").json()
    assert gone["withdrawn_at"] is not None
    assert call(scene, "alice", "get", scene.urls()["rankings"]).json() == []


def test_a_task_is_fetched_ahead_over_the_api(scene: Scene) -> None:
    make_task(scene.campaign, "Another?")

    second = call(scene, "alice", "post", scene.urls()["work"], {"ahead": True}).json()

    assert second["messages"][0]["content"] == "Another?"
    assert call(scene, "alice", "post", scene.urls()["work"]).json()["id"] == str(scene.lease.public_id)
    assert call(scene, "alice", "post", scene.urls()["work"], {"ahead": "soon"}).status_code == 400


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("skip/", {"reason": "no"}, "skip_reason_unknown"),
        ("skip/", {"reason": "other", "note": "a\x00"}, "nul_byte"),
        ("report/", {"kind": "dull"}, "report_kind_unknown"),
        ("report/", {"kind": "other", "text": "\ud800"}, "lone_surrogate"),
        ("report/", {}, "invalid"),
    ],
)
def test_a_bad_skip_or_report_is_refused_with_a_code(scene: Scene, path: str, body: Any, code: str) -> None:
    response = api(scene.cast.alice).post(
        scene.urls()["lease"] + path, json.dumps(body), content_type="application/json"
    )

    assert (response.status_code, response.json()["error"]["code"]) == (400, code)
    scene.lease.refresh_from_db()
    assert scene.lease.state == "active"


def test_every_route_is_in_these_tests() -> None:
    campaign = {path for _method, path, _body in WRITES} | {*READS, "rankings/", "members/<uuid:user_id>/"}
    campaign |= test_quality_api.READS.keys() | test_quality_api.WRITES.keys()
    lease = {"", "renew/", "draft/", "submit/", "skip/", "release/", "report/"}
    tested = {f"campaigns/<uuid:public_id>/{path}" for path in campaign} | {
        f"leases/<uuid:public_id>/{path}" for path in lease
    }

    routes = {str(pattern.pattern) for pattern in urlpatterns}

    own = {f"rankings/<uuid:public_id>/{path}" for path in ("revise/", "withdraw/")}
    work = {"work/", "work/<uuid:public_id>/next/", "work/<uuid:public_id>/rankings/"}
    assert routes == tested | own | work | {"campaigns/"}


def test_lists_hold_exactly_what_the_user_may_see(scene: Scene) -> None:
    cast = scene.cast
    closed = make_campaign(cast, name="Draft", is_open=False)
    bobs = make_campaign(cast, name="Bob's", members=[cast.bob])

    def listed(role: str, path: str, key: str) -> set[str]:
        found = call(scene, role, "get", path).json()
        return {row[key] for row in (found["results"] if isinstance(found, dict) else found)}

    names = {scene.campaign.name, closed.name, bobs.name}
    assert {role: listed(role, "/api/v1/campaigns/", "name") for role in ("owner", "manager", "researcher")} == {
        "owner": names,
        "manager": names,
        "researcher": names,
    }
    assert listed("alice", "/api/v1/campaigns/", "name") == set()
    assert listed("charlie", "/api/v1/campaigns/", "name") == set()
    # Alice has seats in two campaigns, one of which is a draft still; Bob in three.
    assert listed("alice", "/api/v1/work/", "name") == {scene.campaign.name}
    assert listed("bob", "/api/v1/work/", "name") == {scene.campaign.name, "Bob's"}
    assert listed("manager", "/api/v1/work/", "name") == set()
    assert api(None).get("/api/v1/work/").status_code == api(None).get("/api/v1/campaigns/").status_code == 401


def test_a_campaigns_rows_do_not_leak_into_anothers_lists(scene: Scene) -> None:
    other = make_campaign(scene.cast, name="Other")
    make_task(other, "Other prompt?", ("other one", "other two"))

    for path in ("prompts/", "completions/", "tasks/", "members/", "guidelines/"):
        ours = call(scene, "manager", "get", scene.urls()["campaign"] + path).json()["results"]
        assert "other" not in json.dumps(ours).lower(), path
    theirs = call(scene, "manager", "get", f"/api/v1/campaigns/{other.public_id}/completions/").json()["results"]
    assert {row["text"] for row in theirs} == {"other one", "other two"}


def test_a_labeler_learns_texts_and_times_and_nothing_else(scene: Scene) -> None:
    rank_task(scene.task, scene.cast.labeler(scene.cast.bob), (1, 2, 3), rationale="a peer's rationale")

    body = call(scene, "alice", "get", scene.urls()["lease"]).json()

    asked = {"guidelines", "protocol", "questions", "messages", "answers"}
    assert set(body) == asked | {"id", "campaign", "state", "expires_at", "draft"}
    assert all(set(answer) == {"id", "text"} for answer in body["answers"])
    assert [answer["id"] for answer in body["answers"]] == scene.lease.shown
    assert body["messages"] == [{"role": "user", "content": "Why is the sky blue?"}]
    text = json.dumps(body)
    for secret in ("checkpoint:", "a peer's rationale", "finish_reason", "stop", "bob", "collect"):
        assert secret not in text


def as_body(lease: Lease, *ranks: int | None, **rest: Any) -> dict[str, Any]:
    items = [{"completion": key, "rank": rank} for key, rank in zip(lease.shown, ranks, strict=True)]
    return {"items": items, **rest}


def test_a_ranking_goes_in_once_however_often_it_is_sent(scene: Scene) -> None:
    url = scene.urls()["lease"] + "submit/"
    first = call(scene, "alice", "post", url, as_body(scene.lease, 1, 2, 2, active_seconds=3.5))
    again = call(scene, "alice", "post", url, as_body(scene.lease, 1, 5, 5, active_seconds=4))
    other = call(scene, "alice", "post", url, as_body(scene.lease, 2, 1, 1))

    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 409)
    assert first.json() == {"ranking": again.json()["ranking"], "is_repeat": False, "feedback": None}
    assert other.json()["error"]["code"] == "idempotency_conflict"
    assert Ranking.objects.count() == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"items": []}, "ranking_incomplete"),
        ({"rationale": "a\x00b"}, "nul_byte"),
        ({"rationale": "a\ud83db"}, "lone_surrogate"),
        ({"\udc00": 1}, "lone_surrogate"),
        ({"strength": 3}, "strength_invalid"),
        ({"items": "all"}, "invalid"),
        ({"active_seconds": "long"}, "invalid"),
    ],
)
def test_a_bad_submit_is_refused_with_a_sentence_and_a_code(scene: Scene, change: dict[str, Any], code: str) -> None:
    body = json.dumps(as_body(scene.lease, 1, 2, 3) | change)

    client = api(scene.cast.alice)
    response = client.post(scene.urls()["lease"] + "submit/", body, content_type="application/json")

    assert response.status_code == 400
    assert response.json()["error"]["code"] == code
    assert response.json()["error"]["message"]
    assert Ranking.objects.count() == 0


@pytest.mark.parametrize("body", [b"{", b"[" * 100_000, b'{"reason": "\xff"}', b'{"reason": NaN}', b"[]", b'"x"'])
def test_a_body_that_is_no_sound_json_is_a_client_error(scene: Scene, body: bytes) -> None:
    url = scene.urls()["lease"] + "skip/"

    response = api(scene.cast.alice).post(url, body, content_type="application/json")

    assert response.status_code == 400
    assert set(response.json()["error"]) == {"code", "message", "details"}


def test_a_labelers_day_over_the_api(scene: Scene) -> None:
    urls = scene.urls()
    make_task(scene.campaign, "Another?")
    assert call(scene, "alice", "get", "/api/v1/work/").json()[0] == {
        "campaign": str(scene.campaign.public_id),
        "name": scene.campaign.name,
        "num_open": 1,
        "has_more": False,
        "num_done": 0,
        "lease": str(scene.lease.public_id),
    }
    assert call(scene, "alice", "post", urls["lease"] + "renew/").json()["state"] == "active"
    assert call(scene, "alice", "put", urls["lease"] + "draft/", {"draft": {"x": "y"}}).status_code == 200
    assert call(scene, "alice", "get", urls["lease"]).json()["draft"] == {"x": "y"}
    assert call(scene, "alice", "post", urls["lease"] + "skip/", {"reason": "broken"}).json()["state"] == "skipped"
    following = call(scene, "alice", "post", urls["work"]).json()
    assert following["messages"][0]["content"] == "Another?"
    assert call(scene, "alice", "post", f"/api/v1/leases/{following['id']}/release/").json()["state"] == "released"
    lease = Lease.objects.get(public_id=call(scene, "alice", "post", urls["work"]).json()["id"])
    submit_ranking(lease=lease, submission=submission(lease))
    assert call(scene, "alice", "post", urls["work"]).status_code == 204


def test_a_manager_builds_a_campaign_over_the_api(scene: Scene) -> None:
    made = call(scene, "manager", "post", "/api/v1/campaigns/", {"name": "Mine", "overlap": 3, "guidelines": "g"})
    assert made.status_code == 201
    url = f"/api/v1/campaigns/{made.json()['id']}/"
    added = call(scene, "manager", "post", url + "prompts/", {"prompts": [{"prompt": "Q?"}, {"prompt": "Q?"}]}).json()
    assert (len(added["created"]), len(added["duplicates"])) == (1, 1)
    prompt = added["created"][0]["id"]
    rows = [{"prompt": prompt, "text": text, "sample_index": n} for n, text in enumerate(("a", "b"))]
    answers = call(
        scene, "manager", "post", url + "completions/", {"source": "checkpoint:1", "completions": rows}
    ).json()
    # Nobody passes for a checkpoint.
    assert {answer["source"] for answer in answers} == {"import:checkpoint:1"}
    task = {"prompt": prompt, "completions": [answer["id"] for answer in answers]}
    assert call(scene, "manager", "post", url + "tasks/", {"tasks": [task]}).json()[0]["free_slots"] == 3
    assert call(scene, "manager", "post", url + "open/").json()["state"] == "open"
    assert call(scene, "manager", "post", url + "open/").status_code == 409
    assert call(scene, "manager", "get", url + "progress/").json()["num_wanted"] == 3
    wrong = call(scene, "manager", "patch", url, {"overlap": 51})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, "setting_out_of_range")
    assert call(scene, "researcher", "post", "/api/v1/campaigns/", {"name": "Mine"}).status_code == 403
    assert call(scene, "alice", "post", "/api/v1/campaigns/", {"name": "Mine"}).status_code == 403


def test_an_import_over_the_api_as_body_and_as_file(scene: Scene) -> None:
    url = scene.urls()["campaign"] + "import/"
    client = api(scene.cast.manager)

    raw = client.post(url, b'{"prompt": "A?"}\n', content_type="application/x-ndjson")
    file = client.post(url, {"file": SimpleUploadedFile("x.jsonl", b'{"prompt": "A?"}\n{"prompt": "B?"}')})
    bad = client.post(url, b'{"prompt": "C?"}\n{"prompt": "\\ud83d"}', content_type="application/x-ndjson")

    assert (raw.status_code, raw.json()["num_prompts"]) == (201, 1)
    assert (file.status_code, file.json()["num_prompts"], file.json()["num_duplicates"]) == (201, 1, 1)
    assert (bad.status_code, bad.json()["error"]["code"]) == (400, "import_refused")
    assert [(e["line"], e["code"]) for e in bad.json()["error"]["details"]["errors"]] == [(2, "lone_surrogate")]
    assert not Prompt.objects.filter(messages__0__content="C?").exists()
    assert client.post(url, {"file": "text"}).json()["error"]["code"] == "import_empty"


def test_an_import_over_the_limit_is_refused(scene: Scene, settings: Any) -> None:
    settings.IMPORT_MAX_BYTES = 100

    response = api(scene.cast.manager).post(
        scene.urls()["campaign"] + "import/", b" " * 101, content_type="application/x-ndjson"
    )

    assert (response.status_code, response.json()["error"]["code"]) == (413, "import_too_large")


@pytest.mark.parametrize("path", ["", "prompts/", "completions/", "tasks/", "rankings/", "members/", "labelers/"])
def test_a_list_costs_the_same_queries_at_one_row_and_three(
    scene: Scene, django_assert_num_queries: DjangoAssertNumQueries, path: str
) -> None:
    url = "/api/v1/campaigns/" if path == "" else scene.urls()["campaign"] + path
    submit_ranking(lease=scene.lease, submission=submission(scene.lease))
    Membership.objects.filter(user=scene.cast.bob).delete()
    prompt = scene.task.prompt
    client = api(scene.cast.manager)
    with CaptureQueriesContext(connection) as one:
        client.get(url)
    for number in range(2):
        make_campaign(scene.cast, name=f"More {number}")
        make_prompt(scene.campaign, f"More {number}?")
        add_completions(
            campaign=scene.campaign,
            source=f"import:{number}",
            completions=[NewCompletion(prompt_id=prompt.public_id, text="more")],
        )
        task = make_task(scene.campaign, f"Task {number}?", priority=1, overlap=1)
        rank_task(task, scene.cast.labeler([scene.cast.alice, scene.cast.bob][number]), (1, 2))
        Membership.objects.create(campaign=scene.campaign, user=[scene.cast.bob, scene.cast.researcher][number])

    with django_assert_num_queries(len(one)):
        body = client.get(url).json()

    assert Completion.objects.count() >= 3
    assert len(body["results"] if isinstance(body, dict) else body) >= (2 if path == "labelers/" else 3)


def test_the_next_task_costs_a_person_with_a_seat_five_statements(scene: Scene) -> None:
    """Session and person, standing with campaign and seat, leases held, the task, the lease; beside the transaction."""
    make_task(scene.campaign, "Another?")
    client, url = web(scene.cast.bob), f"/api/v1/work/{scene.campaign.public_id}/next/"
    first = client.post(url, {}, content_type="application/json").json()
    skip_task(lease=Lease.objects.get(public_id=first["id"]))

    with CaptureQueriesContext(connection) as queries:
        second = client.post(url, {}, content_type="application/json").json()

    assert second["id"] != first["id"]
    statements = [query["sql"] for query in queries if not query["sql"].startswith(("SAVEPOINT", "RELEASE"))]
    assert len(statements) == 5, statements


def test_who_lost_the_seat_gets_no_next_task(scene: Scene) -> None:
    url = f"/api/v1/work/{scene.campaign.public_id}/next/"
    make_task(scene.campaign, "Another?")
    assert api(scene.cast.bob).post(url, {}, format="json").status_code == 200
    Membership.objects.filter(user=scene.cast.bob).delete()

    assert api(scene.cast.bob).post(url, {}, format="json").status_code == 404
