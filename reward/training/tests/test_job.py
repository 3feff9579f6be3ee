"""The whole run kind as the launcher starts it: a process, a run directory, an outcome."""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from reward.training.__main__ import LOADERS
from reward.training.entry import main
from reward.training.reward_model import RewardModel
from reward.training.tests.conftest import make_group, read_events, read_outcome, write_groups

MakeRun = Callable[..., Path]
FAST = {"epochs": 2, "groups_per_step": 4, "learning_rate": 1e-3, "head_learning_rate": 1e-2, "bootstrap_samples": 200}


def start(run: Path) -> subprocess.Popen[bytes]:
    with (run / "log.txt").open("ab") as log:
        return subprocess.Popen([sys.executable, "-m", "reward.training", str(run)], stdout=log, stderr=log)


def finish(run: Path) -> int:
    return start(run).wait(timeout=120)


@pytest.fixture
def finish_here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], int]]:
    """Carries a run out in this process, which has loaded everything already, and leaves the process as it was."""
    monkeypatch.setattr("reward.training.entry.die_with_parent", lambda: None)
    before = os.umask(0o022), signal.getsignal(signal.SIGTERM), torch.get_num_threads()
    yield lambda run: main(["training", str(run)], LOADERS)
    os.umask(before[0])
    signal.signal(signal.SIGTERM, before[1])
    torch.set_num_threads(before[2])
    torch.use_deterministic_algorithms(False)


def wait_for_event(run: Path, wanted: Callable[[dict[str, Any]], bool]) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        if (run / "events.jsonl").exists():
            lines = (run / "events.jsonl").read_text().split("\n")[:-1]
            if any(wanted(json.loads(line)) for line in lines):
                return
        time.sleep(0.01)
    raise AssertionError((run / "log.txt").read_text())


def told(run: Path) -> list[dict[str, Any]]:
    """Events without times; progress is throttled by the clock and left out."""
    events = [{k: v for k, v in event.items() if k != "time"} for event in read_events(run)]
    return [event for event in events if event["type"] != "progress"]


def saved(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_run_learns_and_reports_accuracy_beside_floor_and_ceiling(
    make_run: MakeRun, tiny: Path, groups_file: Path, finish_here: Callable[[Path], int]
) -> None:
    run = make_run(inputs={"base": tiny, "groups": groups_file}, **{**FAST, "epochs": 8})

    assert finish_here(run) == 0

    outcome = read_outcome(run)
    metrics = outcome["metrics"]
    assert outcome["status"] == "succeeded"
    assert metrics["num_train_prompts"] == 12
    assert metrics["num_heldout_prompts"] == 6
    assert metrics["rm_accuracy_low"] <= metrics["rm_accuracy"] <= metrics["rm_accuracy_high"]
    assert metrics["rm_accuracy"] > 0.7
    assert metrics["rm_floor_longer_wins"] == 0
    assert 0.5 < metrics["rm_ceiling"] <= 1
    report = json.loads((run / outcome["artifacts"]["evaluation"]["path"]).read_text())
    assert report["accuracy"]["value"] == metrics["rm_accuracy"]
    assert set(report["floors"]) == {"length", "bag_of_words", "probe"}
    assert report["floors"]["probe"]["accuracy"] == metrics["rm_floor_probe"]
    assert {row["labeler"] for row in report["labelers"]} == {"labeler 0", "labeler 1", "labeler 2"}
    steps = [event["metrics"] for event in read_events(run) if event["type"] == "metrics"]
    assert len(steps) == metrics["num_steps"] == 24
    assert steps[-1]["loss"] < steps[0]["loss"]
    model = RewardModel.load(run / outcome["artifacts"]["model"]["path"])
    assert model.score_std == pytest.approx(metrics["rm_score_std_train"])


def test_a_run_starts_from_the_probe_and_says_so(
    make_run: MakeRun, tiny: Path, groups_file: Path, finish_here: Callable[[Path], int]
) -> None:
    still = {"learning_rate": 1e-9, "head_learning_rate": 1e-9}
    run = make_run(inputs={"base": tiny, "groups": groups_file}, probe_l2=0.1, **still)

    assert finish_here(run) == 0

    events = read_events(run)
    assert "probe_fitted" in [event.get("code") for event in events]
    losses = [event["metrics"]["loss"] for event in events if event["type"] == "metrics"]
    assert losses[0] < math.log(3) - 0.1  # a head of zeros with equal odds of a tie would say ln 3
    assert read_outcome(run)["metrics"]["rm_accuracy"] > 0.7


@pytest.mark.slow
@pytest.mark.parametrize(
    "more", [{}, {"probe_l2": 0.1, "heads": 2, "train_layers": 1, "objective": {"reliability": "agreement"}}]
)
def test_a_run_killed_and_resumed_equals_one_never_stopped(
    make_run: MakeRun, tiny: Path, groups_file: Path, finish_here: Callable[[Path], int], more: dict[str, Any]
) -> None:
    settings = {**FAST, "epochs": 16, "checkpoint_every_steps": 7, **more}
    inputs = {"base": tiny, "groups": groups_file}
    whole, broken = make_run("whole", inputs=inputs, **settings), make_run("broken", inputs=inputs, **settings)

    assert finish_here(whole) == 0
    child = start(broken)
    wait_for_event(broken, lambda event: event.get("step", 0) >= 9)
    child.send_signal(signal.SIGKILL)
    child.wait(timeout=10)
    assert not (broken / "outcome.json").exists()
    assert finish(broken) == 0

    assert "resuming from step" in (broken / "log.txt").read_text()
    assert told(broken) == told(whole)
    assert saved(broken / "artifacts") == saved(whole / "artifacts")
    assert saved(broken / "checkpoints") == saved(whole / "checkpoints")
    assert read_outcome(broken)["metrics"] == read_outcome(whole)["metrics"]


def test_sigterm_leaves_a_checkpoint_and_no_outcome(make_run: MakeRun, tiny: Path, groups_file: Path) -> None:
    run = make_run(
        inputs={"base": tiny, "groups": groups_file}, **{**FAST, "epochs": 400, "checkpoint_every_steps": 999}
    )
    child = start(run)
    wait_for_event(run, lambda event: event.get("step", 0) >= 3)

    child.send_signal(signal.SIGTERM)

    assert child.wait(timeout=60) == 75
    assert not (run / "outcome.json").exists()
    last = [event["step"] for event in read_events(run) if event["type"] == "metrics"][-1]
    assert [path.name for path in (run / "checkpoints").iterdir()] == [f"step-{last:06d}"]


def test_cancel_ends_the_run_at_the_next_step(make_run: MakeRun, tiny: Path, groups_file: Path) -> None:
    run = make_run(inputs={"base": tiny, "groups": groups_file}, **{**FAST, "epochs": 400})
    child = start(run)
    wait_for_event(run, lambda event: event.get("step", 0) >= 3)

    (run / "control.tmp").write_text('{"command": "cancel"}')
    (run / "control.tmp").replace(run / "control")

    assert child.wait(timeout=60) == 0
    assert read_outcome(run)["status"] == "cancelled"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"config": {"epochs": 0}}, "bad_config"),
        ({"config": {"epoch": 1}}, "bad_config"),
        ({"config": {"train_layers": 3}}, "bad_config"),
        ({"config": {"backbone_layers": 3}}, "bad_config"),
        ({"config": {"backbone_layers": 1, "train_layers": 2}}, "bad_config"),
        ({"base": "nowhere"}, "input_missing"),
        ({"groups": [make_group(1, "validation")]}, "too_few_rankings"),
        ({"groups": [make_group(1, "train")]}, "no_heldout_pairs"),
    ],
)
def test_what_cannot_be_trained_is_refused_with_a_sentence(
    make_run: MakeRun,
    tiny: Path,
    groups_file: Path,
    finish_here: Callable[[Path], int],
    change: dict[str, Any],
    code: str,
) -> None:
    if "groups" in change:
        write_groups(groups_file, change["groups"])
    base = tiny / change["base"] if "base" in change else tiny
    run = make_run(inputs={"base": base, "groups": groups_file}, **change.get("config", {}))

    exit_code = finish_here(run)

    error = read_outcome(run)["error"]
    assert exit_code == 1
    assert error["code"] == code
    assert error["message"].endswith(".")
    assert not (run / "artifacts").exists()
