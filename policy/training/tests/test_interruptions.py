"""Runs that are interrupted: at any event, by a full disk, with a checkpoint spoiled meanwhile."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import pytest

from policy.training import ppo_job, ppo_parts
from policy.training.checkpointing import Weights, save_state
from policy.training.ppo import PPOState
from policy.training.ppo_job import train_policy
from policy.training.tests.runs import TINY_PPO, carry_out, told, write_prompts, write_run
from reward.training.files import sha256_of
from reward.training.rundir import Outcome, RunDirectory
from tests.tiny import DEVICE


@pytest.fixture(scope="module")
def uninterrupted(base: Path, reward: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A run that nothing stopped, and its outcome."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    inputs = {"policy": base, "reward": reward, "prompts": write_prompts(folder / "prompts.jsonl")}
    path = write_run(folder / "whole", "policy.ppo", inputs, TINY_PPO)
    return path, carry_out(path)


class PowerCut(Exception):
    pass


class DiesInStep(RunDirectory):
    """A run directory whose process dies when it tells the metrics of step 4, of which a checkpoint was due."""

    def metrics(self, step: int, **values: float) -> None:
        super().metrics(step, **values)
        if step == 4:
            raise PowerCut


def interrupt(path: Path, directory: type[RunDirectory]) -> None:
    """Carry the run out until its directory's process dies."""
    dying = directory.open(path)
    with pytest.raises(PowerCut):
        train_policy(dying)
    dying.close()


class DiesAfterStep5(RunDirectory):
    """A run directory whose process dies with a step told that no checkpoint holds."""

    def metrics(self, step: int, **values: float) -> None:
        super().metrics(step, **values)
        if step == 5:
            raise PowerCut


def assert_same_files(one: Path, other: Path) -> None:
    """The model and the last checkpoint, bit for bit."""
    for name in ("artifacts/model/model.safetensors", "checkpoints/step-000006/manifest.json"):
        assert sha256_of(one / name) == sha256_of(other / name), name


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"train_layers": 1, "update": {**TINY_PPO["update"], "average_decay": 0.5}},
        {"value_network": "separate"},
        {"value_network": "reward-model"},
        {"lora": {"rank": 2}},
    ],
)
def test_resumed_run_is_the_run_that_never_stopped(ppo_run: Callable[..., Path], changes: dict[str, Any]) -> None:
    whole, cut = ppo_run("whole", **changes), ppo_run("cut", **changes)
    expected = carry_out(whole)

    interrupt(cut, DiesInStep)
    found = carry_out(cut)

    assert found.metrics == expected.metrics
    assert told(cut) == told(whole)
    assert_same_files(cut, whole)
    assert [step for step, _ in ((e["step"], e) for e in told(cut) if e["type"] == "checkpoint")] == [2, 4, 6]


class DiesAfterTheAlarm(RunDirectory):
    """A run directory whose process dies when it has told of an alarm and written the step's checkpoint."""

    def save_checkpoint(self, step: int, write: Callable[[Path], None], *, kept: int = 2) -> None:
        super().save_checkpoint(step, write, kept=kept)
        if "no_progress" in {event.get("code") for event in told(self.path)}:
            raise PowerCut


def test_run_that_makes_no_progress_ends_early_even_when_it_is_resumed_after_its_last_step(
    ppo_run: Callable[..., Path],
) -> None:
    # So low a rate changes no answer, and weights that are no better than the start are not chosen.
    changes = {
        "steps": 10,
        "guard": {"patience_evaluations": 2},
        "update": TINY_PPO["update"] | {"learning_rate": 1e-12, "value_learning_rate": 1e-12},
    }
    whole, cut = ppo_run("whole", **changes), ppo_run("cut", **changes)
    outcome = carry_out(whole)
    interrupt(cut, DiesAfterTheAlarm)

    assert (outcome.status, outcome.metrics["num_steps"], outcome.metrics["best_step"]) == ("succeeded", 4, 0)
    assert "no_progress" in {event.get("code") for event in told(whole)}
    assert carry_out(cut).metrics == outcome.metrics
    assert told(cut) == told(whole)


def test_run_killed_again_and_again_at_any_event_is_the_run_that_never_stopped(
    ppo_run: Callable[..., Path], uninterrupted: tuple[Path, Outcome]
) -> None:
    (whole, expected), cut = uninterrupted, ppo_run("cut")
    chance = random.Random(1)

    class DiesAnywhere(RunDirectory):
        """Dies at an event; half of the times before it is written."""

        left = 0

        def _event(self, **event: Any) -> None:
            DiesAnywhere.left -= 1
            if DiesAnywhere.left == 0 and chance.random() < 0.5:
                raise PowerCut
            super()._event(**event)
            if DiesAnywhere.left == 0:
                raise PowerCut

    for _ in range(5):
        DiesAnywhere.left = chance.randint(1, 12)
        interrupt(cut, DiesAnywhere)
    found = carry_out(cut)

    assert found.metrics == expected.metrics
    assert told(cut) == told(whole)
    assert_same_files(cut, whole)


@pytest.mark.parametrize("spoiled", ["trained.safetensors", "state.json"])
def test_spoiled_checkpoint_gives_way_to_the_one_before_and_the_run_is_the_same(
    ppo_run: Callable[..., Path], uninterrupted: tuple[Path, Outcome], spoiled: str
) -> None:
    (whole, expected), cut = uninterrupted, ppo_run("cut", keep={"checkpoints": 3})
    interrupt(cut, DiesAfterStep5)
    with (cut / "checkpoints/step-000004" / spoiled).open("r+b") as file:
        file.seek(20)
        file.write(b"\0\1")

    found = carry_out(cut)

    assert found.metrics == expected.metrics
    notes = [event["message"] for event in told(cut) if event.get("code") == "checkpoint_rejected"]
    assert notes == [
        f"The checkpoint of step 4 does not verify ({spoiled} has changed); the run goes on from step 2.",
    ]
    assert [event for event in told(cut) if event.get("code") != "checkpoint_rejected"] == told(whole)
    assert_same_files(cut, whole)
    assert sorted(path.name for path in (cut / "checkpoints").iterdir()) == [f"step-00000{step}" for step in (2, 4, 6)]


def test_run_goes_on_where_a_checkpoint_finds_the_disk_full_and_resumes_from_the_one_before(
    ppo_run: Callable[..., Path], uninterrupted: tuple[Path, Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    (whole, expected), cut = uninterrupted, ppo_run("cut")

    def on_a_full_disk(path: Path, files: dict[str, Weights], state: PPOState, *rest: Any) -> None:
        save_state(path, files, state, *rest)
        if state.step == 4:
            raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr(ppo_job, "save_state", on_a_full_disk)
        interrupt(cut, DiesAfterStep5)
        assert [path.name for path in (cut / "checkpoints").iterdir()] == ["step-000002"]
        assert [event["message"] for event in told(cut) if event.get("code") == "checkpoint_failed"] == [
            "The disk is full, so no checkpoint of step 4 was written; the one of step 2 stays. "
            "Free some space meanwhile."
        ]
    found = carry_out(cut)

    assert found.metrics == expected.metrics
    assert told(cut) == told(whole)
    assert_same_files(cut, whole)


@pytest.mark.skipif(DEVICE != "cpu", reason="only a CPU maps weights from disk")
def test_run_keeps_its_weights_in_memory_where_the_disk_has_no_room_for_them(
    ppo_run: Callable[..., Path], uninterrupted: tuple[Path, Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    (whole, _), held = uninterrupted, ppo_run("held")

    def on_a_full_disk(_module: object, _folder: Path) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ppo_parts, "MappedWeights", on_a_full_disk)
    carry_out(held)

    events = told(held)
    notes = [event["message"] for event in events if event.get("code") == "weights_in_memory"]
    assert notes == [
        "What is only read, reference and reward model, stays in memory all the time: the disk has no room for it "
        "(No space left on device)."
    ]
    assert [event for event in events if event.get("code") != "weights_in_memory"] == told(whole)
    assert_same_files(held, whole)


class DiesBetweenSamples(RunDirectory):
    """A run directory whose process dies when it has told the first of two samples of step 4."""

    def sample(self, step: int, index: int, *, prompt: str, text: str, values: Mapping[str, float]) -> None:
        super().sample(step, index, prompt=prompt, text=text, values=values)
        if (step, index) == (4, 0):
            raise PowerCut


def test_resumed_run_tells_the_samples_of_the_run_that_never_stopped(
    ppo_run: Callable[..., Path], uninterrupted: tuple[Path, Outcome]
) -> None:
    (whole, _), cut = uninterrupted, ppo_run("cut")
    interrupt(cut, DiesBetweenSamples)
    assert told(cut)[-1]["step"] == 4

    carry_out(cut)

    assert [(e["step"], e["index"]) for e in told(cut) if e["type"] == "sample"] == [
        (step, index) for step in (0, 2, 4, 6) for index in (0, 1)
    ]
    assert told(cut) == told(whole)
