"""DPO and SFT from a checkpoint: what they are given, what comes of them, and who may start them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from django.urls import reverse

from accounts.errors import Refused
from accounts.models import AuditEvent, Role
from accounts.services import add_member_to_workspace
from annotation.models import Campaign
from policy.models import Checkpoint
from policy.services import follow, start_tuning
from reward.models import Snapshot
from reward.services import freeze_snapshot
from runs.models import Run
from tests.cast import Cast, api, make_cast, web
from tests.loop import BASE, finish, make_base, ranked_campaign, stored_model

KINDS = pytest.mark.parametrize("kind", ["policy.dpo", "policy.sft"])


@dataclass(frozen=True)
class Scene:
    cast: Cast
    campaign: Campaign
    base: Checkpoint
    snapshot: Snapshot
    theirs: Snapshot

    def start(self, kind: str, **changes: Any) -> Run:
        asked = {"checkpoint": self.base, "snapshot": self.snapshot, "by": self.cast.researcher, **changes}
        return start_tuning(kind=kind, **asked)


def make_scene() -> Scene:
    cast = make_cast()
    base = make_base(cast.workspace, cast.researcher)
    campaign = ranked_campaign(cast)
    snapshot = freeze_snapshot(campaign=campaign, by=cast.researcher)
    elsewhere = Campaign.objects.create(workspace=cast.elsewhere, name="Theirs")
    counts = dict.fromkeys(("num_rankings", "num_groups", "num_pairs", "num_heldout_pairs"), 1)
    theirs = Snapshot.objects.create(workspace=cast.elsewhere, campaign=elsewhere, number=1, sha256="7a" * 32, **counts)
    return Scene(cast, campaign, base, snapshot, theirs)


def short(kind: str) -> str:
    return kind.partition(".")[2]


@KINDS
def test_a_run_gets_the_checkpoint_and_the_snapshot_and_no_more(scene: Scene, kind: str) -> None:
    run = scene.start(kind, config={"epochs": 3}, seed=5)

    assert {name: given["sha256"] for name, given in run.inputs.items()} == {
        "policy": scene.base.sha256,
        "groups": scene.snapshot.sha256,
    }
    assert (run.kind, run.seed, run.config["epochs"]) == (kind, 5, 3)
    assert run.title == f"{short(kind).upper()} from Tiny · 0 on Short answers #1"
    assert AuditEvent.objects.filter(verb=kind, actor=scene.cast.researcher).count() == 1


@KINDS
def test_what_was_trained_is_a_child_without_a_reward_model_and_feeds_followers(scene: Scene, kind: str) -> None:
    follow(campaign=scene.campaign, lineage=scene.base.lineage, by=scene.cast.researcher)

    run = finish(scene.start(kind), "model", stored_model(), {"num_steps": 4})

    child = Checkpoint.objects.get(run=run)
    assert (child.lineage, child.number, child.parent) == (scene.base.lineage, 1, scene.base)
    assert (child.reward_model, child.base_label, child.metrics) == (None, BASE, {"num_steps": 4})
    sampled = Run.objects.get(kind="policy.sample")
    assert sampled.config["sources"] == [child.uri, scene.base.uri]
    for address in (reverse("policy:checkpoint-detail", args=[child.public_id]), reverse("policy:checkpoint-list")):
        shown = web(scene.cast.manager).get(address).content.decode()
        assert str(run.title) in shown
    assert api(scene.cast.manager).get(f"/api/v1/checkpoints/{child.public_id}/").json()["reward_model"] is None


@KINDS
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"snapshot": "theirs"}, "workspace_mismatch"),
        ({"config": {"epochs": 0}}, "config_invalid"),
        ({"config": {"micro_batch_size": 3}}, "config_invalid"),
        ({"config": {"optimizer": {"adam_betas": [0.9, 1.0]}}}, "config_invalid"),
        ({"config": {"beta": 0.0}}, "config_invalid"),
        ({"seed": -1}, "seed_invalid"),
    ],
    ids=str,
)
def test_a_run_that_cannot_be_is_refused(scene: Scene, kind: str, changes: dict[str, Any], code: str) -> None:
    before = Run.objects.count()
    if "snapshot" in changes:
        changes = {"snapshot": scene.theirs}

    with pytest.raises(Refused) as refused:
        scene.start(kind, **changes)

    assert refused.value.code == code
    assert Run.objects.count() == before


@KINDS
def test_researchers_start_it_over_the_api_and_others_may_not(scene: Scene, kind: str) -> None:
    cast, path = scene.cast, f"/api/v1/checkpoints/{scene.base.public_id}/{short(kind)}/"
    body = {"snapshot": str(scene.snapshot.public_id), "config": {"epochs": 2}, "seed": 4}
    before = Run.objects.count()
    for user, status in ((cast.manager, 403), (cast.alice, 404), (cast.charlie, 404), (None, 401)):
        assert api(user).post(path, body, format="json").status_code == status
    for wrong, refusal in (
        ({"snapshot": str(scene.theirs.public_id)}, (404, "not_found")),
        ({"config": {"epochs": 0}}, (400, "config_invalid")),
        ({"seed": 2**63}, (400, "invalid")),
    ):
        answer = api(cast.researcher).post(path, {**body, **wrong}, format="json")
        assert (answer.status_code, answer.json()["error"]["code"]) == refusal
    assert Run.objects.count() == before

    for user in (cast.researcher, cast.owner):
        answer = api(user).post(path, body, format="json")
        assert (answer.status_code, answer.json()["kind"], answer.json()["seed"]) == (201, kind, 4)


@KINDS
def test_researchers_start_it_from_the_checkpoints_page_with_the_defaults(scene: Scene, kind: str) -> None:
    cast, address = scene.cast, reverse(f"policy:{short(kind)}", args=[scene.base.public_id])
    detail = web(cast.researcher).get(reverse("policy:checkpoint-detail", args=[scene.base.public_id]))
    assert f'href="{address}"' in detail.content.decode()
    form = web(cast.researcher).get(address).context["form"]
    assert list(form.fields["snapshot"].queryset) == [scene.snapshot]
    body = {name: field.initial for name, field in form.fields.items() if field.initial is not None}
    body["snapshot"] = str(scene.snapshot.public_id)
    for user, status in ((cast.manager, 403), (cast.alice, 404), (cast.charlie, 404)):
        assert web(user).post(address, body).status_code == status
    assert web(cast.researcher).post(address, {**body, "snapshot": str(scene.theirs.public_id)}).status_code == 422
    assert not Run.objects.filter(kind=kind).exists()

    answer = web(cast.researcher).post(address, body)

    run = Run.objects.get(kind=kind)
    assert answer["Location"] == reverse("runs:run-detail", args=[run.public_id])
    assert run.config == scene.start(kind).config


def test_who_belongs_to_two_workspaces_chooses_among_the_checkpoints_own_snapshots(scene: Scene) -> None:
    cast = scene.cast
    add_member_to_workspace(workspace=cast.workspace, user=cast.charlie, role=Role.RESEARCHER, by=cast.owner)

    form = web(cast.charlie).get(reverse("policy:dpo", args=[scene.base.public_id])).context["form"]

    assert list(form.fields["snapshot"].queryset) == [scene.snapshot]


@KINDS
def test_a_setting_out_of_range_is_a_sentence_on_the_page(scene: Scene, kind: str) -> None:
    address = reverse(f"policy:{short(kind)}", args=[scene.base.public_id])
    form = web(scene.cast.researcher).get(address).context["form"]
    body = {name: field.initial for name, field in form.fields.items() if field.initial is not None}

    wrong = {**body, "snapshot": str(scene.snapshot.public_id), "epochs": 0}
    answer = web(scene.cast.researcher).post(address, wrong)

    assert answer.status_code == 400
    assert "epochs (0) must be at least 1" in answer.content.decode()
