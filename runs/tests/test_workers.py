"""Runs under real Celery workers, killed and stopped in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings

from reward.training.rundir import take_lock
from runs.directory import WorkerRunDirectory
from runs.models import Run
from runs.services import cancel_run, recover_runs
from runs.states import RunState
from runs.tests.conftest import StartRun
from tests.cast import Cast
from tests.processes import commands_by_pid, eventually, processes_of
from tests.workers import what_fell, worker_environment

StartWorker = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture
def start_worker(tmp_path: Path, transactional_db: None) -> Iterator[StartWorker]:
    """Starts a gpu worker that knows the test kind and keeps its files in tmp_path; all are gone after the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "celery", "-A", "config", "worker", "-Q", "gpu", "--pool", "solo"]
        options = ["--include", "runs.tests.kinds", "-n", f"gpu-{os.getpid()}-{len(started)}@%h", "--without-mingle"]
        with (tmp_path / "worker.log").open("ab") as log:
            started.append(
                subprocess.Popen(
                    [*command, *options],
                    cwd=settings.BASE_DIR,
                    env={**worker_environment(), "PLUMBLINE_VAR": str(tmp_path)},
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )
        return started[-1]

    yield start
    told = what_fell(started, tmp_path / "worker.log")
    for worker in started:
        worker.kill()
        worker.wait()
    assert not told, told


def has_reached(run: Run, step: int) -> Callable[[], bool]:
    return lambda: run.metrics.filter(step__gte=step).exists()


def is_in(run: Run, state: RunState) -> Callable[[], bool]:
    return lambda: Run.objects.filter(pk=run.pk, state=state).exists()


def told_steps(run: Run) -> list[tuple[int, int]]:
    """(step, attempt) of every metrics event in the run's directory."""
    lines = WorkerRunDirectory(run).events.read_text().splitlines()
    events = [json.loads(line) for line in lines]
    return [(e["step"], int(e["metrics"]["attempt"])) for e in events if e["type"] == "metrics"]


def trainer_of(run: Run) -> int:
    """Process id of the one process that works for the run."""
    (pid,) = commands_by_pid(WorkerRunDirectory(run).path)
    return pid


def assert_finished_once(run: Run, *, attempt: int) -> None:
    run.refresh_from_db()
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, attempt)
    assert run.notes.filter(code="taken_in").count() == 1
    told = told_steps(run)
    assert [step for step, _attempt in told] == list(range(1, run.config["steps"] + 1)), "each step is told once"
    assert [a for _step, a in told] == sorted(a for _step, a in told), "no earlier attempt wrote after a later one"
    assert list(run.metrics.filter(name="total").order_by("step").values_list("step", "value")) == [
        (step, step * (step + 1) / 2) for step, _attempt in told
    ]
    os.close(take_lock(WorkerRunDirectory(run).path))  # raises if a writer is left
    assert processes_of(WorkerRunDirectory(run).path) == []


@pytest.mark.slow
def test_killed_worker_takes_its_trainer_along_and_the_run_is_finished_once(
    start_run: StartRun, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "RUN_DEAD_AFTER_SECONDS", 1)
    run = start_run(steps=30, step_seconds=0.15)
    worker = start_worker()
    assert eventually(has_reached(run, 5), seconds=60)

    worker.kill()
    worker.wait()

    assert eventually(lambda: processes_of(WorkerRunDirectory(run).path) == []), "the trainer outlived its worker"
    assert is_in(run, RunState.RUNNING)()
    start_worker()
    assert eventually(lambda: recover_runs() == 1)
    assert eventually(is_in(run, RunState.SUCCEEDED), seconds=60)
    assert_finished_once(run, attempt=2)


def test_killed_trainer_is_started_again_by_its_worker_and_the_run_is_finished_once(
    start_run: StartRun, start_worker: StartWorker
) -> None:
    run = start_run(steps=20, step_seconds=0.15)
    start_worker()
    assert eventually(has_reached(run, 5), seconds=60)

    os.kill(trainer_of(run), signal.SIGKILL)

    assert eventually(is_in(run, RunState.SUCCEEDED), seconds=60)
    assert_finished_once(run, attempt=2)


@pytest.mark.slow
def test_worker_that_is_shut_down_hands_its_run_back_at_no_cost(start_run: StartRun, start_worker: StartWorker) -> None:
    run = start_run(steps=30, step_seconds=0.15)
    worker = start_worker()
    assert eventually(has_reached(run, 5), seconds=60)

    worker.terminate()

    assert worker.wait(timeout=15) == 0
    run.refresh_from_db()
    assert (run.state, run.attempt, run.max_attempts) == (RunState.QUEUED, 1, 4)
    assert processes_of(WorkerRunDirectory(run).path) == []
    start_worker()
    assert eventually(is_in(run, RunState.SUCCEEDED), seconds=60)
    assert_finished_once(run, attempt=2)


def test_cancelled_run_stops_at_its_next_step(start_run: StartRun, start_worker: StartWorker, cast: Cast) -> None:
    run, next_run = start_run(steps=2000, step_seconds=0.1), start_run(steps=2)
    start_worker()
    assert eventually(has_reached(run, 2), seconds=60)

    cancel_run(run=run, by=cast.researcher)

    assert eventually(is_in(run, RunState.CANCELLED))
    run.refresh_from_db()
    assert run.outcome is not None, "the process said goodbye itself"
    assert processes_of(WorkerRunDirectory(run).path) == []
    assert eventually(is_in(next_run, RunState.SUCCEEDED)), "the worker goes on with the next run"
