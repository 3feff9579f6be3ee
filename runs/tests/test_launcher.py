"""One attempt carried out in this process, with real training processes."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from threading import Timer

import pytest
from django.conf import settings
from django.db.models import F
from django.utils import timezone

from reward.training.rundir import take_lock
from runs import launcher
from runs.artifacts import store
from runs.directory import WorkerRunDirectory
from runs.models import Run
from runs.queries import log_tail, metric_series
from runs.services import cancel_run, claim_run
from runs.slots import device_slot
from runs.states import RunState
from runs.tests.conftest import StartRun
from tests.cast import Cast


def execute(run: Run) -> Run:
    launcher.execute(run_id=run.pk, worker="test")
    run.refresh_from_db()
    return run


def taken_in(run: Run) -> int:
    return run.notes.filter(code="taken_in").count()


def test_finished_run_keeps_metrics_outcome_and_artifact(start_run: StartRun, tmp_path: Path) -> None:
    run = execute(start_run(steps=4))

    assert (run.state, run.attempt, run.worker) == (RunState.SUCCEEDED, 1, "test")
    assert run.outcome is not None
    assert run.outcome["metrics"] == {"total": 10.0}
    assert metric_series(run) == {
        "step": [1, 2, 3, 4],
        "attempt": [1.0] * 4,
        "by_1": [1.0] * 4,
        "total": [1.0, 3.0, 6.0, 10.0],
    }
    assert (run.progress["phase"], run.progress["done"], run.progress["total"]) == ("count", 4, 4)
    artifact = run.artifacts.get()
    store().fetch_directory(artifact.sha256, tmp_path / "fetched")
    assert json.loads((tmp_path / "fetched" / "total.json").read_text()) == 10
    assert taken_in(run) == 1
    folder = WorkerRunDirectory(run).path
    assert folder.stat().st_mode & 0o777 == 0o700
    assert not (folder / "checkpoints").exists(), "nobody resumes a finished run"


def test_refusal_of_the_process_is_the_runs_error(start_run: StartRun) -> None:
    run = execute(start_run(fault="refuse"))

    assert (run.state, run.error_code) == (RunState.FAILED, "no_pairs")
    assert run.error_message == "The data hold no pairs; collect more rankings first."
    assert taken_in(run) == 0


@pytest.mark.parametrize("fault", ["crash", "kill"])
def test_process_that_died_resumes_from_its_checkpoint_and_finishes_once(start_run: StartRun, fault: str) -> None:
    run = execute(start_run(fault=fault, fault_step=3, steps=5))
    assert (run.state, run.attempt) == (RunState.QUEUED, 1)
    assert metric_series(run, ["attempt"])["attempt"] == [1.0, 1.0, 1.0]

    run = execute(run)

    assert (run.state, run.attempt, taken_in(run)) == (RunState.SUCCEEDED, 2, 1)
    # Steps 1 and 2 stand in the checkpoint; step 3 was lost and done again.
    assert metric_series(run) == {
        "step": [1, 2, 3, 4, 5],
        "attempt": [1.0, 1.0, 2.0, 2.0, 2.0],
        "by_1": [1.0, 1.0, None, None, None],
        "by_2": [None, None, 1.0, 1.0, 1.0],
        "total": [1.0, 3.0, 6.0, 10.0, 15.0],
    }
    assert list(run.samples.values_list("step", "text", "values__score")) == [
        (1, "1 in attempt 1", 1.0),
        (2, "3 in attempt 1", 3.0),
        (3, "6 in attempt 2", 6.0),
        (4, "10 in attempt 2", 10.0),
        (5, "15 in attempt 2", 15.0),
    ]


def test_run_that_crashes_on_every_attempt_fails_with_the_last_lines_of_its_log(start_run: StartRun) -> None:
    run = start_run(fault="crash", is_fault_lasting=True)
    Run.objects.filter(pk=run.pk).update(max_attempts=2)

    assert execute(run).state == RunState.QUEUED
    run = execute(run)

    assert (run.state, run.attempt, run.error_code) == (RunState.FAILED, 2, "crashed")
    assert "RuntimeError: something broke" in run.error_message


def test_killed_process_is_explained_by_memory(start_run: StartRun) -> None:
    run = start_run(fault="kill")
    Run.objects.filter(pk=run.pk).update(max_attempts=1)

    run = execute(run)

    assert (run.state, run.error_code) == (RunState.FAILED, "killed")
    assert "out of memory" in run.error_message


def test_outcome_that_its_kind_turns_down_leaves_a_failed_run_and_nothing_else(start_run: StartRun) -> None:
    run = execute(start_run(is_outcome_refused=True))

    assert (run.state, run.error_code) == (RunState.FAILED, "campaign_archived")
    assert taken_in(run) == 0, "what on_outcome wrote before it refused is rolled back"
    assert not run.artifacts.exists()


def test_cancelled_queued_run_is_never_started(start_run: StartRun, cast: Cast) -> None:
    run = cancel_run(run=start_run(), by=cast.researcher)

    assert execute(run).state == RunState.CANCELLED
    assert not WorkerRunDirectory(run).path.exists()


def test_process_that_does_not_hear_of_its_cancel_is_told_by_signal(
    start_run: StartRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "CANCEL_GRACE_SECONDS", 1.0)
    run = start_run(steps=2000, step_seconds=0.05, is_deaf=True)
    Run.objects.filter(pk=run.pk).update(cancel_requested_at=timezone.now())

    run = execute(run)

    assert (run.state, run.outcome) == (RunState.CANCELLED, None)


def test_stale_attempt_ends_its_process_and_writes_nothing(
    start_run: StartRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start_run(steps=200, step_seconds=0.05)
    prepare = launcher.Attempt._prepare

    def lose_the_row(attempt: launcher.Attempt) -> None:
        prepare(attempt)
        Run.objects.filter(pk=run.pk).update(attempt=F("attempt") + 1)

    monkeypatch.setattr(launcher.Attempt, "_prepare", lose_the_row)
    run = execute(run)

    assert (run.state, run.attempt) == (RunState.RUNNING, 2)
    assert not run.metrics.exists()
    assert not (WorkerRunDirectory(run).path / "outcome.json").exists(), "its process was ended, not left to finish"


def test_run_whose_directory_another_process_holds_is_left_to_it(start_run: StartRun) -> None:
    run = start_run()
    directory = WorkerRunDirectory(run)
    directory.make()
    lock = take_lock(directory.path)
    run = execute(run)
    os.close(lock)

    assert (run.state, run.attempt, run.max_attempts) == (RunState.QUEUED, 1, 4)
    assert run.notes.filter(code="run_locked").exists()
    assert not directory.events.exists()
    assert execute(run).state == RunState.SUCCEEDED


def test_process_sees_no_secret_and_its_log_shows_none(start_run: StartRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    said = f"key=0123456789abcdef secret={settings.SECRET_KEY} url=https://me:hunter2@host/ plain=sentence"

    run = execute(start_run(say=said))

    log = log_tail(run)
    assert "key=[redacted] secret=[redacted] url=https://[redacted]@host/ plain=sentence" in log
    names = set(log.partition("environment: ")[2].partition("\n")[0].split())
    assert "PATH" in names
    assert not names & {"DATABASE_URL", "REDIS_URL", "SECRET_KEY", "WANDB_API_KEY", "DJANGO_SETTINGS_MODULE"}


def test_run_with_a_changed_input_fails_before_anything_starts(start_run: StartRun, tmp_path: Path) -> None:
    run = start_run()
    source = tmp_path / "groups.jsonl"
    source.write_text("{}\n")
    stored = store().put_file(source)
    blob = Path(settings.VAR_DIR) / "artifacts" / "sha256" / stored.sha256[:2] / stored.sha256
    blob.unlink()
    blob.write_text("[]\n")
    Run.objects.filter(pk=run.pk).update(inputs={"groups": {"sha256": stored.sha256, "type": "file", "label": "x"}})

    run = execute(run)

    assert (run.state, run.error_code) == (RunState.FAILED, "artifact_corrupt")
    assert not WorkerRunDirectory(run).log.exists()


def test_device_carries_out_one_run_at_a_time(start_run: StartRun) -> None:
    run = start_run()
    slot = ExitStack()
    assert slot.enter_context(device_slot(is_wanted=lambda: False))
    freed: list[datetime] = []

    def free() -> None:
        freed.append(timezone.now())
        slot.close()

    Timer(1.5, free).start()
    run = execute(run)

    assert run.state == RunState.SUCCEEDED
    assert run.started_at is not None
    assert run.started_at >= freed[0]


def test_worker_stops_waiting_for_the_device_when_the_run_is_gone(start_run: StartRun, cast: Cast) -> None:
    run = cancel_run(run=start_run(), by=cast.researcher)
    with device_slot(is_wanted=lambda: False):
        assert execute(run).state == RunState.CANCELLED


def test_only_one_worker_gets_a_run(start_run: StartRun) -> None:
    run = start_run()

    first, second = (claim_run(run_id=run.pk, worker=name) for name in ("a", "b"))

    assert first is not None
    assert (first.attempt, first.worker) == (1, "a")
    assert second is None
