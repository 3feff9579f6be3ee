"""What a reward-model run will need, told and refused as for policies."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from django.urls import reverse

from annotation.models import Campaign
from policy.models import Checkpoint
from reward import lengths
from reward.groups import build_groups
from reward.models import Snapshot
from reward.preflight_page import sentences
from reward.services import expect_training, freeze_snapshot
from runs.models import Run
from tests.cast import Cast, api, make_task, rank_task, web
from tests.stored import GIB, resize, tell_of

SMALL = {"train_layers": 2, "backbone_layers": 8}


@pytest.fixture
def snapshot(cast: Cast, campaign: Campaign, base: Checkpoint) -> Snapshot:
    resize(base)
    return freeze_snapshot(campaign=campaign, by=cast.researcher)


def body(base: Checkpoint, cast: Cast, campaign: Campaign, **changes: Any) -> dict[str, Any]:
    form = web(cast.researcher).get(reverse("reward:train", args=[campaign.public_id])).context["form"]
    given = {name: field.initial for name, field in form.fields.items() if field.initial is not None}
    return {**given, "base_uri": base.uri, **changes}


def test_fewer_layers_need_less_and_rankings_count_alike_before_and_after_the_freeze(
    base: Checkpoint, campaign: Campaign, snapshot: Snapshot
) -> None:
    tell_of(gib=200)

    whole, small, unfrozen = (
        expect_training(source=source, base_uri=base.uri, config=config).estimate
        for source, config in ((snapshot, {}), (snapshot, SMALL), (campaign, {}))
    )

    assert whole is not None
    assert small is not None
    assert whole == unfrozen
    # Weights, gradients and two moments of 1.236 billion parameters.
    assert whole.certain_bytes / GIB == pytest.approx(18.4, abs=0.1)
    assert small.certain_bytes < whole.certain_bytes / 3
    assert small.seconds is not None
    assert whole.seconds is not None
    assert small.seconds < whole.seconds / 2


def test_a_run_that_cannot_fit_is_refused_with_what_would_help(
    cast: Cast, base: Checkpoint, campaign: Campaign, snapshot: Snapshot
) -> None:
    tell_of(gib=10)
    address, before = reverse("reward:train", args=[campaign.public_id]), Run.objects.count()

    page = web(cast.researcher).post(address, body(base, cast, campaign))
    path = f"/api/v1/snapshots/{snapshot.public_id}/train/"
    answer = api(cast.researcher).post(path, {"base": base.uri}, format="json")

    assert (page.status_code, answer.status_code) == (409, 409)
    assert answer.json()["error"]["code"] == "cannot_fit"
    assert "train_layers" in answer.json()["error"]["message"]
    assert answer.json()["error"]["message"] in page.content.decode()
    assert Run.objects.count() == before
    german = api(cast.researcher).post(path, {"base": base.uri}, format="json", headers={"Accept-Language": "de"})
    assert german.json()["error"]["message"].endswith(
        "Um ihn zu verkleinern: weniger Schichten trainieren (train_layers) oder weniger behalten (backbone_layers)."
    )
    answer = api(cast.researcher).post(path, {"base": base.uri, "config": SMALL}, format="json")
    assert answer.status_code == 201


def test_what_cannot_fit_is_measured_against_the_machine_that_has_most(base: Checkpoint, snapshot: Snapshot) -> None:
    tell_of("small", gib=2)
    tell_of("large", gib=8, swap_bytes=3 * GIB)

    (told, _time) = sentences(expect_training(source=snapshot, base_uri=base.uri))

    assert told.startswith("Cannot fit: 18.4 GiB are needed in any case, and no machine has more than 11.0 of memory")


def test_the_form_tells_what_is_typed_and_freezes_nothing(
    cast: Cast, base: Checkpoint, campaign: Campaign, snapshot: Snapshot
) -> None:
    tell_of("gpu-1", gib=200)
    address, before = reverse("reward:train", args=[campaign.public_id]), Run.objects.count()

    fresh = web(cast.researcher).get(address).content.decode()
    part = web(cast.researcher).post(address, body(base, cast, campaign, estimate="1"), headers={"HX-Request": "true"})

    assert "hx-trigger='load, input" in fresh
    assert "of the 200.0 GiB of memory on gpu-1" in part.content.decode()
    assert Run.objects.count() == before
    assert Snapshot.objects.count() == 1


def test_a_campaigns_rankings_are_read_again_only_where_there_are_others(
    monkeypatch: pytest.MonkeyPatch, cast: Cast, base: Checkpoint, snapshot: Snapshot
) -> None:
    read = Mock(wraps=build_groups)
    monkeypatch.setattr(lengths, "build_groups", read)
    tell_of(gib=200)
    campaign = snapshot.campaign

    def look(config: dict[str, Any]) -> float:
        return expect_training(source=campaign, base_uri=base.uri, config=config).seconds or 0.0

    before = [look(config) for config in ({}, {}, SMALL)]
    num_read = read.call_count
    rank_task(
        make_task(campaign, "Whose?", ("A longer answer than others.", "Hers.")), cast.labeler(cast.alice), (1, 2)
    )

    assert (num_read, before[0] == before[1]) == (1, True)
    assert look({}) > before[0]
    assert read.call_count == 2


def test_the_api_estimates_for_those_who_may_start_runs(cast: Cast, base: Checkpoint, snapshot: Snapshot) -> None:
    tell_of(gib=200)
    path = f"/api/v1/snapshots/{snapshot.public_id}/train/estimate/"

    statuses = {
        role: api(user).post(path, {"base": base.uri}, format="json").status_code
        for role, user in cast.everybody.items()
    }

    assert statuses == {
        "owner": 200, "manager": 403, "researcher": 200, "alice": 404, "charlie": 404, "nobody": 401
    }  # fmt: skip
    told = api(cast.researcher).post(path, {"base": base.uri}, format="json").json()
    assert [phase["name"] for phase in told["phases"]] == ["probe", "learn", "evaluate"]
