"""A run's scalars for TensorBoard while it trains, read back by TensorBoard's own reader."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
from django.conf import settings
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from runs import launcher
from runs.board import board_directory
from runs.models import Run
from runs.queries import metric_series, step_times
from runs.states import RunState
from runs.tests.conftest import StartRun


@pytest.fixture
def boards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(settings, "TENSORBOARD_DIR", str(tmp_path / "boards"))
    return tmp_path / "boards"


def execute(run: Run) -> Run:
    launcher.execute(run_id=run.pk, worker="test")
    run.refresh_from_db()
    return run


def read(directory: Path) -> dict[str, dict[int, float]]:
    """What TensorBoard shows: name -> step -> value."""
    found = EventAccumulator(str(directory)).Reload()
    return {tag: {one.step: one.value for one in found.Scalars(tag)} for tag in found.Tags()["scalars"]}


def stored(run: Run) -> dict[str, dict[int, float]]:
    series = metric_series(run)
    steps = series.pop("step")
    return {
        name: {step: value for step, value in zip(steps, values, strict=True) if value is not None}  # type: ignore[misc]
        for name, values in series.items()
    }


def test_scalars_are_written_as_the_run_tells_them(start_run: StartRun, boards: Path) -> None:
    run = execute(start_run(steps=3))

    assert run.state == RunState.SUCCEEDED
    directory = boards / "test.count" / f"count-{str(run.public_id)[:8]}"
    assert board_directory(run) == directory
    assert read(directory)["total"] == {1: 1.0, 2: 3.0, 3: 6.0}
    times = {one.step: one.wall_time for one in EventAccumulator(str(directory)).Reload().Scalars("total")}
    assert times == step_times(run)
    assert len(set(times.values())) == 3


def test_a_resumed_run_shows_no_step_of_what_was_lost(start_run: StartRun, boards: Path) -> None:
    run = execute(start_run(fault="crash", fault_step=3, steps=5))
    assert read(board_directory(run))["by_1"] == {1: 1.0, 2: 1.0, 3: 1.0}

    run = execute(run)

    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 2)
    found = read(board_directory(run))
    # Steps 1 and 2 stand in the checkpoint; step 3 was lost and done again.
    assert found["by_1"] == {1: 1.0, 2: 1.0}
    assert found["by_2"] == {3: 1.0, 4: 1.0, 5: 1.0}
    assert found == stored(run)


def test_what_cannot_be_written_is_told_once_and_the_run_goes_on(
    start_run: StartRun, boards: Path, caplog: pytest.LogCaptureFixture
) -> None:
    boards.write_text("a file where the directory should be")

    with caplog.at_level(logging.WARNING, logger="runs.board"):
        run = execute(start_run(steps=4, step_seconds=0.6))

    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1)
    (said,) = [record.getMessage() for record in caplog.records if record.name == "runs.board"]
    assert re.match(rf"run {run.public_id}: TensorBoard is told no more in this attempt, .*Not a directory", said)
    assert metric_series(run)["total"] == [1.0, 3.0, 6.0, 10.0]


def test_nothing_is_written_where_no_directory_is_set(start_run: StartRun, tmp_path: Path) -> None:
    execute(start_run(steps=2))

    assert settings.TENSORBOARD_DIR == ""
    assert not list(tmp_path.rglob("*tfevents*"))


@pytest.mark.parametrize("title", ["../../etc/passwd", "..", "PPO · 0 / RM 1", "数学", "x" * 200])
def test_no_title_leads_out_of_its_kinds_directory(start_run: StartRun, boards: Path, title: str) -> None:
    run = start_run()
    run.title = title

    directory = board_directory(run)

    assert directory.parent == boards / "test.count"
    assert re.fullmatch(r"[a-z0-9-]{8,70}", directory.name)
    assert directory.name.endswith(str(run.public_id)[:8])
