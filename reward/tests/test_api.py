"""Snapshots and reward models over the API, by every role."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from annotation.models import Campaign
from policy.models import Checkpoint
from reward.models import RewardModel, Snapshot
from reward.services import freeze_snapshot
from runs.models import Run
from tests.cast import Cast, api, make_cast
from tests.loop import make_base, make_reward_model, ranked_campaign, train

SNAPSHOTS, MODELS = "/api/v1/snapshots/", "/api/v1/reward-models/"


@dataclass(frozen=True)
class Scene:
    cast: Cast
    campaign: Campaign
    base: Checkpoint
    reward_model: RewardModel
    theirs: RewardModel

    def statuses(self, method: str, url: str, body: dict[str, Any] | None = None) -> dict[str, int]:
        return {
            role: getattr(api(user), method)(url, body, format="json").status_code
            for role, user in self.cast.everybody.items()
        }


def make_scene() -> Scene:
    """A reward model of the cast's workspace, and one of Charlie's."""
    cast = make_cast()
    base = make_base(cast.workspace, cast.researcher)
    campaign = ranked_campaign(cast)
    reward_model = make_reward_model(cast, campaign, base)
    return Scene(cast, campaign, base, reward_model, copy_to_charlie(cast, reward_model))


def copy_to_charlie(cast: Cast, ours: RewardModel) -> RewardModel:
    campaign = Campaign.objects.create(workspace=cast.elsewhere, name="Theirs")
    common = {"workspace": cast.elsewhere, "number": 1, "sha256": "7a" * 32}
    counts = dict.fromkeys(("num_rankings", "num_groups", "num_pairs", "num_heldout_pairs"), 1)
    snapshot = Snapshot.objects.create(campaign=campaign, **common, **counts)
    run = Run.objects.create(workspace=cast.elsewhere, kind="reward.train", title="Theirs", config={})
    return RewardModel.objects.create(run=run, snapshot=snapshot, base_uri="x", base_label="x", **common)


def ids(user: User, url: str) -> set[str]:
    return {row["id"] for row in api(user).get(url).json()["results"]}


def test_lists_hold_the_own_workspaces_rows_only(scene: Scene) -> None:
    cast, ours, theirs = scene.cast, scene.reward_model, scene.theirs
    for user in (cast.owner, cast.manager, cast.researcher):
        assert ids(user, SNAPSHOTS) == {str(ours.snapshot.public_id)}
        assert ids(user, MODELS) == {str(ours.public_id)}
    assert ids(cast.charlie, SNAPSHOTS) == {str(theirs.snapshot.public_id)}
    assert ids(cast.charlie, MODELS) == {str(theirs.public_id)}
    for url in (SNAPSHOTS, MODELS):
        assert api(cast.alice).get(url).status_code == 403
        assert api(None).get(url).status_code == 401


def test_details_are_for_staff_and_do_not_exist_for_others(scene: Scene) -> None:
    expected = {"owner": 200, "manager": 200, "researcher": 200, "alice": 404, "charlie": 404, "nobody": 401}

    assert scene.statuses("get", f"{MODELS}{scene.reward_model.public_id}/") == expected
    assert scene.statuses("get", f"{SNAPSHOTS}{scene.reward_model.snapshot.public_id}/") == expected


def test_a_reward_model_tells_where_it_came_from(scene: Scene) -> None:
    ours = scene.reward_model

    shown = api(scene.cast.manager).get(f"{MODELS}{ours.public_id}/").json()

    assert shown.pop("created_at")
    assert shown == {
        "id": str(ours.public_id),
        "number": 1,
        "run": str(ours.run.public_id),
        "snapshot": str(ours.snapshot.public_id),
        "base_uri": scene.base.uri,
        "base_label": "Tiny · 0",
        "sha256": ours.sha256,
        "metrics": {"rm_accuracy": 0.75},
    }


def test_researchers_freeze_and_others_may_not(scene: Scene) -> None:
    Snapshot.objects.filter(campaign=scene.campaign).update(sha256="0" * 64)  # so that a freeze would add one
    body = {"campaign": str(scene.campaign.public_id)}
    for role, status in {"manager": 403, "alice": 404, "charlie": 404, "nobody": 401}.items():
        assert api(scene.cast.everybody[role]).post(SNAPSHOTS, body, format="json").status_code == status
    assert scene.campaign.snapshots.count() == 1

    made = [api(user).post(SNAPSHOTS, body, format="json") for user in (scene.cast.researcher, scene.cast.owner)]

    assert [(answer.status_code, answer.json()["number"]) for answer in made] == [(201, 2), (201, 2)]
    assert made[0].json()["num_pairs"] == 12


def test_researchers_train_and_others_may_not(scene: Scene) -> None:
    url = f"{SNAPSHOTS}{scene.reward_model.snapshot.public_id}/train/"
    before = Run.objects.count()
    body = {"base": scene.base.uri, "config": {"epochs": 2}, "seed": 4}
    for role, status in {"manager": 403, "alice": 404, "charlie": 404, "nobody": 401}.items():
        assert api(scene.cast.everybody[role]).post(url, body, format="json").status_code == status
    assert Run.objects.count() == before

    for user in (scene.cast.researcher, scene.cast.owner):
        answer = api(user).post(url, body, format="json")
        assert (answer.status_code, answer.json()["kind"], answer.json()["seed"]) == (201, "reward.train", 4)
    assert Run.objects.count() == before + 2


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "invalid"),
        ({"base": 7, "seed": -1}, 400, "invalid"),
        ({"base": "checkpoint:00000000-0000-4000-8000-000000000000"}, 404, "model_not_found"),
        ({"base": "file:/etc/passwd"}, 400, "model_uri_invalid"),
        ({"base": "ours", "config": {"epochs": 0}}, 400, "config_invalid"),
        ({"base": "ours", "config": []}, 400, "invalid"),
    ],
    ids=str,
)
def test_a_refusal_is_a_sentence_and_a_code(scene: Scene, body: dict[str, Any], status: int, code: str) -> None:
    if body.get("base") == "ours":
        body = {**body, "base": scene.base.uri}
    url = f"{SNAPSHOTS}{scene.reward_model.snapshot.public_id}/train/"

    answer = api(scene.cast.researcher).post(url, body, format="json")

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.json()["error"]["message"].strip()


def test_too_few_rankings_say_how_many_there_are(scene: Scene) -> None:
    bare = Campaign.objects.create(workspace=scene.cast.workspace, name="Bare")

    answer = api(scene.cast.researcher).post(SNAPSHOTS, {"campaign": str(bare.public_id)}, format="json")

    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "too_few_rankings"
    assert answer.json()["error"]["details"] == {"train_pairs": 0, "heldout_pairs": 0}


@pytest.mark.parametrize("url", [SNAPSHOTS, MODELS])
def test_a_list_takes_the_same_queries_for_one_row_and_for_three(scene: Scene, url: str) -> None:
    def num_queries(rows: int) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert len(ids(scene.cast.manager, url)) == rows
        return len(queries)

    one = num_queries(1)
    for _turn in range(2):
        Snapshot.objects.filter(campaign=scene.campaign).update(sha256="0" * 64)
        train(scene.cast, freeze_snapshot(campaign=scene.campaign, by=None), scene.base)

    assert num_queries(3) == one
