"""Quality over the API: by whom, with what effect, and which bad input is turned down with which code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from accounts.models import User
from annotation.models import Campaign, Participation, Report, Task
from annotation.services import wave_through
from annotation.tests.planning import lease_of, make_known, plan, say
from tests.cast import Cast, api, make_campaign, make_cast, make_task

READS = {
    "quality/": "staff",
    "known-orders/": "managers",
    "known-orders/<uuid:task_id>/": "managers",
    "labeler-quality/": "staff",
    "reports/": "staff",
}
WRITES = {
    "quality/": "put",
    "known-orders/": "post",
    "known-orders/<uuid:task_id>/": "patch",
    "known-orders/<uuid:task_id>/archive/": "post",
    "members/<uuid:user_id>/reading/": "put",
    "members/<uuid:user_id>/try-again/": "post",
    "members/<uuid:user_id>/wave-through/": "post",
    "reports/<uuid:report_id>/resolve/": "post",
}


@dataclass
class Scene:
    cast: Cast
    campaign: Campaign
    known: Task
    report: Report

    def url(self, path: str) -> str:
        for name, value in (
            ("task_id", self.known.public_id),
            ("user_id", self.cast.alice.public_id),
            ("report_id", self.report.public_id),
        ):
            path = path.replace(f"<uuid:{name}>", str(value))
        return f"/api/v1/campaigns/{self.campaign.public_id}/{path}"

    def call(self, user: User | None, method: str, path: str, body: Any = None) -> Any:
        return getattr(api(user), method)(self.url(path), body, format="json")

    def codes(self, method: str, path: str) -> dict[str, int]:
        return {name: self.call(user, method, path).status_code for name, user in self.cast.everybody.items()}


def make_scene() -> Scene:
    cast = make_cast()
    campaign = make_campaign(cast)
    report = Report.objects.create(
        task=make_task(campaign, "Reported?"), labeler=cast.labeler(cast.alice), kind="broken", text="Look."
    )
    return Scene(cast, campaign, make_known(campaign), report)


@pytest.mark.parametrize(("path", "who"), READS.items())
def test_quality_is_read_by_the_staff_and_known_orders_by_managers(scene: Scene, path: str, who: str) -> None:
    researcher = 200 if who == "staff" else 403

    assert scene.codes("get", path) == {
        "owner": 200,
        "manager": 200,
        "researcher": researcher,
        "alice": 404,
        "charlie": 404,
        "nobody": 401,
    }


@pytest.mark.parametrize(("path", "method"), WRITES.items())
def test_quality_is_changed_by_managers_only(scene: Scene, path: str, method: str) -> None:
    found = scene.codes(method, path)

    assert not {found.pop("owner"), found.pop("manager")} & {401, 403, 404, 405, 500}
    assert found == {"researcher": 403, "alice": 404, "charlie": 404, "nobody": 401}


def test_a_plan_is_put_whole_and_bad_ones_are_refused(scene: Scene) -> None:
    manager = scene.cast.manager

    put = scene.call(manager, "put", "quality/", {"gold_every": 20, "max_per_day": 50})

    assert put.status_code == 200
    got = scene.call(manager, "get", "quality/").json()
    assert (got["gold_every"], got["max_per_day"], got["repeat_every"], got["attempts"]) == (20, 50, 0, 2)
    for bad in ({"gold_every": 1001}, {"gold_min": 1.5}, {"attempts": 0}, {"max_in_all": 0}):
        refused = scene.call(manager, "put", "quality/", bad)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "quality_invalid"), bad
    scene.campaign.refresh_from_db()
    assert scene.campaign.quality["gold_every"] == 20


def test_known_orders_are_made_listed_and_put_away(scene: Scene) -> None:
    prompt = scene.known.prompt
    answers = [str(answer.public_id) for answer in prompt.completions.order_by("pk")]
    body = {
        "prompt": str(prompt.public_id),
        "completions": answers,
        "role": "training",
        "ranks": {answers[0]: 2, answers[1]: 1},
    }

    made = scene.call(scene.cast.manager, "post", "known-orders/", body)
    listed = scene.call(scene.cast.manager, "get", "known-orders/").json()
    scene.call(scene.cast.manager, "post", "known-orders/<uuid:task_id>/archive/")
    left = scene.call(scene.cast.manager, "get", "known-orders/").json()

    assert made.status_code == 201
    assert {row["id"]: row["role"] for row in listed} == {
        str(scene.known.public_id): "gold",
        made.json()["id"]: "training",
    }
    assert [row["id"] for row in left] == [made.json()["id"]]
    assert left[0]["ranks"] == body["ranks"]
    again = scene.call(scene.cast.manager, "post", "known-orders/<uuid:task_id>/archive/")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "known_order_archived")


def test_a_known_order_is_changed_by_halves(scene: Scene) -> None:
    path = "known-orders/<uuid:task_id>/"
    right, wrong = scene.known.gold.ranks
    say(lease_of(scene.known, scene.cast.labeler(scene.cast.alice), takes_slot=False), (1, 2))

    ranks = scene.call(scene.cast.manager, "patch", path, {"ranks": {wrong: 1, right: 2}}).json()
    both = scene.call(scene.cast.manager, "patch", path, {"explanation": " *So.*"}).json()

    assert (ranks["ranks"], ranks["mean_score"], ranks["explanation"]) == ({wrong: 1, right: 2}, 0, "Because.")
    assert both == {**ranks, "explanation": " *So.*"} == scene.call(scene.cast.manager, "get", path).json()
    for bad, code in (({"ranks": {wrong: 1}}, "known_order_empty"), ({"ranks": {wrong: "x"}}, "invalid")):
        refused = scene.call(scene.cast.manager, "patch", path, bad)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, code)
    scene.call(scene.cast.manager, "post", "known-orders/<uuid:task_id>/archive/")
    late = scene.call(scene.cast.manager, "patch", path, {"explanation": ""})
    assert (late.status_code, late.json()["error"]["code"]) == (409, "known_order_archived")
    assert scene.call(scene.cast.manager, "get", path).status_code == 404
    work = path.replace("<uuid:task_id>", str(scene.report.task.public_id))
    assert scene.call(scene.cast.manager, "patch", work, {"explanation": ""}).status_code == 404


@pytest.mark.parametrize(
    ("reading", "code"),
    [
        ({"languages": ["english language"]}, "language_unknown"),
        ({"languages": ["e"]}, "language_unknown"),
        ({"skills": ["a, b"]}, "skill_invalid"),
        ({"skills": ["x"] * 31}, "too_many_words"),
    ],
)
def test_reading_that_makes_no_sense_is_refused(scene: Scene, reading: dict[str, Any], code: str) -> None:
    refused = scene.call(scene.cast.manager, "put", "members/<uuid:user_id>/reading/", reading)

    assert (refused.status_code, refused.json()["error"]["code"]) == (400, code)
    assert not Participation.objects.exclude(languages=[], skills=[]).exists()


def test_what_a_person_reads_is_kept_where_it_is_left_out(scene: Scene) -> None:
    path = "members/<uuid:user_id>/reading/"
    scene.call(scene.cast.manager, "put", path, {"languages": ["en", "EN", "pt-BR"], "skills": ["law"]})
    Participation.objects.update(passed_priority=100, passed_task=1)

    kept = scene.call(scene.cast.manager, "put", path, {"skills": []})

    assert kept.json() == {"languages": ["en", "pt-br"], "skills": []}
    assert Participation.objects.get().passed_priority is None


def test_qualification_moves_refuse_what_makes_no_sense(scene: Scene) -> None:
    manager = scene.cast.manager
    wave_through(campaign=scene.campaign, labeler=scene.cast.labeler(scene.cast.alice), by=manager)

    for path, code in (("try-again", "not_failed"), ("wave-through", "already_qualified")):
        refused = scene.call(manager, "post", f"members/<uuid:user_id>/{path}/")
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, code)


def test_reports_are_dealt_with_once(scene: Scene) -> None:
    path = "reports/<uuid:report_id>/resolve/"

    first, second = (scene.call(scene.cast.manager, "post", path) for _time in range(2))

    assert first.json()["resolved_at"] is not None
    assert (second.status_code, second.json()["error"]["code"]) == (409, "report_resolved")
    scene.report.refresh_from_db()
    assert scene.report.resolved_by == scene.cast.manager


def test_figures_of_labelers_have_their_ids(scene: Scene) -> None:
    plan(scene.campaign, gold_every=5)
    alice = scene.cast.labeler(scene.cast.alice)
    say(lease_of(scene.known, alice, takes_slot=False), (1, 2))

    rows = scene.call(scene.cast.researcher, "get", "labeler-quality/").json()

    assert rows == [
        {
            "labeler": str(alice.public_id),
            "gold_score": 1.0,
            "num_gold": 1,
            "consistency": None,
            "num_repeated_pairs": 0,
            "first_share": None,
            "num_preferences": 0,
        }
    ]
