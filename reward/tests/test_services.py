from __future__ import annotations

import uuid
from typing import Any

import pytest

from accounts.errors import Refused
from accounts.models import AuditEvent
from policy.models import Checkpoint
from reward.groups import build_groups
from reward.models import RewardModel, Snapshot
from reward.services import freeze_snapshot, start_training
from runs.artifacts import store
from runs.models import Run
from runs.states import RunState
from tests.cast import Cast, make_campaign, make_task, rank_task
from tests.loop import make_base, ranked_campaign, train


def test_a_snapshot_stands_still_while_people_go_on(cast: Cast) -> None:
    campaign = ranked_campaign(cast)
    snapshot = freeze_snapshot(campaign=campaign, by=cast.researcher)
    with store().open(snapshot.sha256) as handle:
        frozen = handle.read()
    assert frozen == build_groups(campaign).data

    late = rank_task(make_task(campaign, "Late?"), cast.labeler(cast.alice), (1, 2))
    second = freeze_snapshot(campaign=campaign, by=cast.researcher)

    assert (snapshot.number, second.number) == (1, 2)
    counts = (snapshot.num_rankings, snapshot.num_groups, snapshot.num_pairs, snapshot.num_heldout_pairs)
    assert counts == (4, 2, 12, 12)
    assert snapshot.sha256 != second.sha256
    assert set(second.rankings.all()) - set(snapshot.rankings.all()) == {late}
    with store().open(snapshot.sha256) as handle:
        assert handle.read() == frozen


def test_freezing_twice_gives_one_snapshot(cast: Cast) -> None:
    campaign = ranked_campaign(cast)

    first, again = (freeze_snapshot(campaign=campaign, by=cast.researcher) for _turn in range(2))

    assert first == again
    assert AuditEvent.objects.filter(verb="snapshot.freeze", actor=cast.researcher).count() == 1


@pytest.mark.parametrize(("num_train", "num_heldout"), [(4, 2), (3, 2), (4, 1), (0, 0)])
def test_eight_train_pairs_and_four_held_out_ones_are_enough(cast: Cast, num_train: int, num_heldout: int) -> None:
    campaign = make_campaign(cast, overlap=2)
    for split, number in (("train", num_train), ("validation", num_heldout)):
        for index in range(number):
            task = make_task(campaign, f"{split} {index}", split=split)
            for user in (cast.alice, cast.bob):
                rank_task(task, cast.labeler(user), (1, 2))
    if (num_train, num_heldout) == (4, 2):
        assert freeze_snapshot(campaign=campaign, by=None).num_pairs == 8
        return

    with pytest.raises(Refused) as refused:
        freeze_snapshot(campaign=campaign, by=None)

    assert (refused.value.code, refused.value.status) == ("too_few_rankings", 409)
    assert refused.value.details == {"train_pairs": 2 * num_train, "heldout_pairs": 2 * num_heldout}
    assert not Snapshot.objects.exists()


def test_training_is_queued_with_everything_it_needs(cast: Cast, base: Checkpoint) -> None:
    snapshot = freeze_snapshot(campaign=ranked_campaign(cast), by=cast.researcher)

    run = start_training(snapshot=snapshot, by=cast.researcher, base_uri=base.uri, config={"epochs": 2}, seed=7)

    assert (run.kind, run.state, run.seed, run.created_by) == ("reward.train", RunState.QUEUED, 7, cast.researcher)
    assert run.config["epochs"] == 2
    assert run.config["groups_per_step"] > 0
    assert {name: (row["sha256"], row["type"]) for name, row in run.inputs.items()} == {
        "base": (base.sha256, "dir"),
        "groups": (snapshot.sha256, "file"),
    }


@pytest.mark.parametrize(
    ("base_uri", "code"),
    [
        ("checkpoint:00000000-0000-4000-8000-000000000000", "model_not_found"),
        ("checkpoint:theirs", "model_not_found"),
        ("checkpoint:7", "model_uri_invalid"),
        ("hf:org/name", "model_uri_invalid"),
        ("smollm2", "model_uri_invalid"),
        ("", "model_uri_invalid"),
    ],
)
def test_a_base_that_is_not_there_is_refused(cast: Cast, base: Checkpoint, base_uri: str, code: str) -> None:
    theirs = make_base(cast.elsewhere, cast.charlie)
    snapshot = freeze_snapshot(campaign=ranked_campaign(cast), by=cast.researcher)
    before = Run.objects.count()

    with pytest.raises(Refused) as refused:
        start_training(
            snapshot=snapshot, by=cast.researcher, base_uri=base_uri.replace("theirs", str(theirs.public_id))
        )

    assert refused.value.code == code
    assert Run.objects.count() == before


@pytest.mark.parametrize(
    ("config", "named"),
    [({"epochs": 0}, "epochs"), ({"speed": 1}, "speed"), ({"learning_rate": "fast"}, "learning_rate")],
)
def test_a_setting_that_cannot_be_is_named(cast: Cast, base: Checkpoint, config: dict[str, Any], named: str) -> None:
    snapshot = freeze_snapshot(campaign=ranked_campaign(cast), by=cast.researcher)

    with pytest.raises(Refused, match=named) as refused:
        start_training(snapshot=snapshot, by=cast.researcher, base_uri=base.uri, config=config)

    assert refused.value.code == "config_invalid"


def test_a_base_whose_weights_are_gone_is_refused(cast: Cast, base: Checkpoint) -> None:
    snapshot = freeze_snapshot(campaign=ranked_campaign(cast), by=cast.researcher)
    Checkpoint.objects.filter(pk=base.pk).update(sha256="0" * 64)

    with pytest.raises(Refused) as refused:
        start_training(snapshot=snapshot, by=cast.researcher, base_uri=base.uri)

    assert refused.value.code == "artifact_missing"


def test_reward_models_are_numbered_by_workspace(cast: Cast, base: Checkpoint) -> None:
    snapshot = freeze_snapshot(campaign=ranked_campaign(cast), by=cast.researcher)
    first = train(cast, snapshot, base)
    theirs = RewardModel.objects.get(pk=first.pk)
    theirs.pk, theirs.public_id, theirs.workspace, theirs.number = None, uuid.uuid4(), cast.elsewhere, 9
    theirs.run = Run.objects.create(workspace=cast.elsewhere, kind="reward.train", title="x", config={})
    theirs.save()

    second = train(cast, snapshot, base)

    assert (first.number, second.number) == (1, 2)
    assert (second.snapshot, second.base_uri, second.base_label) == (snapshot, base.uri, str(base))
    assert second.metrics == {"rm_accuracy": 0.75}
    assert second.sha256 == second.run.artifacts.get(name="model").sha256 != first.sha256
