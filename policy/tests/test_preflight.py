"""What a run will need, told before it begins on the forms and over the API, and refused where it cannot be had."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import storages
from django.urls import reverse
from django.utils import timezone

from accounts.errors import Refused
from annotation.models import Campaign
from policy.models import Checkpoint
from policy.services import ppo_preflight, start_ppo, start_tuning, tuning_preflight
from reward.models import RewardModel, Snapshot
from reward.preflight import Preflight
from runs.artifacts import store
from runs.blobs import blob_name
from runs.models import Machine, Run
from runs.states import RunState
from tests.cast import Cast, api, make_cast, web
from tests.loop import make_base, make_reward_model, ranked_campaign
from tests.stored import GIB, resize, tell_of

KINDS = ("ppo", "dpo", "sft")
HTMX = {"HX-Request": "true"}


@dataclass(frozen=True)
class Scene:
    cast: Cast
    campaign: Campaign
    base: Checkpoint
    reward_model: RewardModel

    @property
    def snapshot(self) -> Snapshot:
        return self.reward_model.snapshot

    def look(self, kind: str, config: dict[str, Any] | None = None) -> Preflight:
        if kind == "ppo":
            given = {"reward_model": self.reward_model, "campaign": self.campaign}
            return ppo_preflight(checkpoint=self.base, config=config, **given)  # type: ignore[arg-type]
        return tuning_preflight(kind=f"policy.{kind}", checkpoint=self.base, snapshot=self.snapshot, config=config)

    def start(self, kind: str, config: dict[str, Any] | None = None) -> Run:
        asked: dict[str, Any] = {"checkpoint": self.base, "by": self.cast.researcher, "config": config}
        if kind == "ppo":
            return start_ppo(reward_model=self.reward_model, campaign=self.campaign, **asked)
        return start_tuning(kind=f"policy.{kind}", snapshot=self.snapshot, **asked)

    def address(self, kind: str) -> str:
        return reverse(f"policy:{kind}", args=[self.base.public_id])

    def body(self, kind: str, **changes: Any) -> dict[str, Any]:
        """What a browser sends of the form as it stands."""
        form = web(self.cast.researcher).get(self.address(kind)).context["form"]
        body = {name: field.initial for name, field in form.fields.items() if field.initial is not None}
        chosen = {"reward_model": self.reward_model, "campaign": self.campaign, "snapshot": self.snapshot}
        return {**body, **{n: str(row.public_id) for n, row in chosen.items() if n in form.fields}, **changes}

    def request(self, kind: str, config: dict[str, Any] | None = None) -> dict[str, Any]:
        """The same over the API."""
        rows = {"reward_model": self.reward_model, "campaign": self.campaign} if kind == "ppo" else {}
        rows = rows or {"snapshot": self.snapshot}
        return {**{name: str(row.public_id) for name, row in rows.items()}, "config": config or {}}


def make_scene() -> Scene:
    """A policy and a reward model of a billion parameters each."""
    cast = make_cast()
    base = make_base(cast.workspace, cast.researcher)
    campaign = ranked_campaign(cast)
    reward_model = make_reward_model(cast, campaign, base)
    resize(base)
    resize(reward_model)
    return Scene(cast, campaign, base, reward_model)


@pytest.mark.parametrize(("gib", "level"), [(200, "fits"), (30, "close"), (25, "exceeds"), (16, "cannot_fit")], ids=str)
def test_only_what_every_step_holds_decides_that_a_run_cannot_fit(scene: Scene, gib: float, level: str) -> None:
    tell_of(gib=gib)

    found = scene.look("ppo")

    assert found.estimate is not None
    # Policy, gradients and two moments of 4.6 GiB each; the best weights and the rest beside.
    assert found.estimate.certain_bytes / GIB == pytest.approx(18.4, abs=0.1)
    assert 23 < found.estimate.memory_bytes / GIB < 30
    assert found.level == level


def test_on_a_gpu_reference_and_reward_model_are_held_all_the_time(scene: Scene) -> None:
    tell_of(gib=20, device="cuda")

    found = scene.look("ppo")

    assert found.estimate is not None
    assert found.estimate.certain_bytes / GIB == pytest.approx(27.6, abs=0.1)
    assert found.level == "cannot_fit"


def test_memory_on_disk_keeps_a_run_from_being_refused_and_not_from_being_warned_of(scene: Scene) -> None:
    tell_of(gib=16, swap_bytes=10 * GIB)

    assert scene.look("ppo").level == "exceeds"


def test_the_smallest_machine_is_told_of_and_the_largest_decides(scene: Scene) -> None:
    tell_of("large", gib=64)
    tell_of("small", gib=16)
    tell_of("gone", gib=1, seen_at=timezone.now() - timedelta(days=40))
    tell_of("other", gib=1).delete()

    found = scene.look("ppo")

    assert found.machine is not None
    assert (found.machine.host, found.level) == ("small", "exceeds")
    found.require_fit()


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_cannot_fit_is_refused_on_the_page_and_over_the_api(scene: Scene, kind: str) -> None:
    tell_of(gib=8)
    body, before = scene.body(kind), Run.objects.count()

    page = web(scene.cast.researcher).post(scene.address(kind), body)
    answer = api(scene.cast.researcher).post(
        f"/api/v1/checkpoints/{scene.base.public_id}/{kind}/", scene.request(kind), format="json"
    )

    assert page.status_code == answer.status_code == 409
    error = answer.json()["error"]
    assert (error["code"], error["details"]["machine_bytes"]) == ("cannot_fit", 8 * GIB)
    assert error["message"] in page.content.decode()
    assert ("lora.rank" in error["message"]) == (kind == "ppo")
    assert Run.objects.count() == before


def test_what_would_help_does_help(scene: Scene) -> None:
    tell_of(gib=16)
    with pytest.raises(Refused, match=r"lora\.rank"):
        scene.start("ppo", {"value_network": "separate"})

    run = scene.start("ppo", {"lora": {"rank": 8}})

    assert run.state == RunState.QUEUED
    assert (run.expected_seconds or 0) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_form_tells_memory_and_time_before_anything_is_typed(scene: Scene, kind: str) -> None:
    tell_of("gpu-1", gib=200)

    page = web(scene.cast.researcher).get(scene.address(kind)).content.decode()

    assert "of the 200.0 GiB of memory on gpu-1" in page
    assert "Takes about" in page
    assert "Learning" in page
    assert "<noscript>" in page
    assert "Gradients" in page


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_typed_is_told_of_and_starts_nothing(scene: Scene, kind: str) -> None:
    tell_of(gib=200)
    steps = {"ppo": {"steps": 40}, "dpo": {"epochs": 2}, "sft": {"epochs": 4}}[kind]
    body, client, before = scene.body(kind, estimate="1"), web(scene.cast.researcher), Run.objects.count()

    plain = client.post(scene.address(kind), body)
    part = client.post(scene.address(kind), {**body, **steps}, headers=HTMX)

    assert (plain.status_code, part.status_code) == (200, 200)
    assert "<h1>" in plain.content.decode()
    assert "<h1>" not in part.content.decode()
    once, twice = plain.context["preflight"].seconds, part.context["preflight"].seconds
    assert twice == pytest.approx(2 * once, rel=0.2)
    assert Run.objects.count() == before


def test_settings_that_cannot_be_are_said_in_the_panel(scene: Scene) -> None:
    body = scene.body("dpo", estimate="1")

    wrong = web(scene.cast.researcher).post(scene.address("dpo"), {**body, "micro_batch_size": 3}, headers=HTMX)
    missing = web(scene.cast.researcher).post(scene.address("dpo"), {**body, "epochs": ""}, headers=HTMX)

    assert "must be a multiple of micro_batch_size (3)" in wrong.content.decode()
    assert (missing.status_code, "<li>Epochs: This field is required.</li>" in missing.content.decode()) == (422, True)


def test_where_no_worker_has_told_no_number_is_made_up(scene: Scene) -> None:
    found = scene.look("dpo")

    assert (found.level, found.seconds) == ("unknown", None)
    assert (
        "No worker has told of its machine yet" in web(scene.cast.researcher).get(scene.address("dpo")).content.decode()
    )
    found.require_fit()


def test_a_model_whose_sizes_are_not_known_is_not_guessed_and_not_refused(scene: Scene) -> None:
    tell_of(gib=1)
    resize(scene.base, {"model_type": "mixtral"})

    assert scene.look("ppo").estimate is None
    assert "is not known" in web(scene.cast.researcher).get(scene.address("ppo")).content.decode()
    assert scene.start("ppo").expected_seconds is None
    path = f"/api/v1/checkpoints/{scene.base.public_id}/ppo/estimate/"
    told = api(scene.cast.researcher).post(path, scene.request("ppo"), format="json").json()
    assert (told["level"], told["memory_bytes"], told["memory"], told["phases"]) == ("unknown", None, [], None)


@pytest.mark.parametrize("kind", KINDS)
def test_the_api_estimates_for_those_who_may_start_runs(scene: Scene, kind: str) -> None:
    tell_of("gpu-1", gib=200)
    path = f"/api/v1/checkpoints/{scene.base.public_id}/{kind}/estimate/"
    before = Run.objects.count()
    for user, status in ((scene.cast.manager, 403), (scene.cast.alice, 404), (scene.cast.charlie, 404), (None, 401)):
        assert api(user).post(path, scene.request(kind), format="json").status_code == status

    answer = api(scene.cast.researcher).post(path, scene.request(kind), format="json")

    told, found = answer.json(), scene.look(kind)
    assert found.estimate is not None
    assert (answer.status_code, told["level"], told["machine"]["host"]) == (200, "fits", "gpu-1")
    assert told["memory_bytes"] == sum(part["bytes"] for part in told["memory"]) == found.estimate.memory_bytes
    assert told["seconds"] == pytest.approx(sum(phase["seconds"] for phase in told["phases"]))
    assert told["num_earlier_runs"] == 0
    wrong = api(scene.cast.researcher).post(path, scene.request(kind, {"eval_every": 10**400}), format="json")
    assert wrong.json()["error"]["code"] == "config_invalid"
    assert Run.objects.count() == before


@pytest.mark.parametrize("damage", ["nonsense", "missing"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_tokenizer_that_cannot_be_read_costs_the_time_and_not_the_run(scene: Scene, kind: str, damage: str) -> None:
    tell_of(gib=200)
    resize(scene.base, tokenizer=b"[1]")
    if damage == "missing":
        entry = store().manifest(scene.base.sha256)["files"]["tokenizer.json"]
        Path(storages["artifacts"].path(blob_name(entry["sha256"]))).unlink()

    found = scene.look(kind)

    assert found.estimate is not None
    assert (found.estimate.certain_bytes > 0, found.seconds) == (True, None)
    assert "is not known" in web(scene.cast.researcher).get(scene.address(kind)).content.decode()
    assert scene.start(kind).expected_seconds is None


def finished(scene: Scene, *, expected: float, seconds: float, **changes: Any) -> Run:
    run = scene.start("dpo")
    fields = {
        "state": RunState.SUCCEEDED, "attempt": 1, "worker": "box:7", "finished_at": timezone.now(),
        "expected_seconds": expected, "outcome": {"seconds": seconds, "metrics": {}}, **changes,
    }  # fmt: skip
    Run.objects.filter(pk=run.pk).update(**fields)
    return run


def test_earlier_runs_of_the_kind_on_the_machine_correct_the_time(scene: Scene) -> None:
    tell_of(gib=200)
    plain = scene.look("dpo").seconds
    assert plain is not None
    for seconds in (150.0, 170.0, 900.0):
        finished(scene, expected=100.0, seconds=seconds)
    unlike: list[dict[str, Any]] = [
        {"worker": "box2:7"},
        {"attempt": 2},
        {"state": RunState.FAILED},
        {"kind": "policy.sft"},
        {"expected_seconds": None},
        {"created_at": timezone.now() - timedelta(days=1)},
        {"config": {"steps": 20}, "outcome": {"seconds": 9000.0, "metrics": {"num_steps": 12.0}}},
    ]
    for changes in unlike:
        finished(scene, expected=100.0, seconds=9000.0, **changes)

    found = scene.look("dpo")

    assert (found.ratio.value, found.ratio.num_runs) == (1.7, 3)
    assert found.seconds == pytest.approx(1.7 * plain)
    shown = web(scene.cast.researcher).get(scene.address("dpo")).content.decode()
    assert "going by how long 3 earlier runs took" in shown


def test_lengths_are_counted_in_the_models_tokens_with_what_its_template_adds(scene: Scene) -> None:
    from reward.lengths import campaign_prompts, read_model, snapshot_lines

    model = read_model(scene.base.sha256)
    assert model is not None

    train, validation = campaign_prompts(model, scene.campaign)
    lines = snapshot_lines(model, scene.snapshot.sha256)

    # Every byte is a token: "Why?" and "How?", "When?"; three more by the template.
    assert (sorted(train), validation) == ([7, 7], [8])
    why = next(line for line in lines if line.split == "train")
    # "One." with an end, and so on.
    assert (why.group.prompt, sorted(why.group.answers)) == (7, [5, 5, 6, 7])
    assert len(why.pairs) == 12
    assert all(min(pair) > 7 for pair in why.pairs)


def test_a_machine_is_named_by_its_host(scene: Scene) -> None:
    assert str(tell_of("gpu-2", gib=1)) == "gpu-2"
    assert Machine.objects.count() == 1
