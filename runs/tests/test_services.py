from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from accounts.errors import IllegalTransition, Refused
from accounts.models import AuditEvent
from runs.events import EventBatch, Sample
from runs.models import Run
from runs.services import (
    InputRef,
    StaleAttempt,
    cancel_run,
    claim_run,
    create_run,
    finish_run,
    heartbeat,
    record_events,
    recover_runs,
    requeue_run,
)
from runs.states import RunState
from runs.tests.conftest import StartRun
from tests.cast import Cast


def claimed(run: Run) -> Run:
    found = claim_run(run_id=run.pk, worker="w")
    assert found is not None
    return found


def fall_silent(run: Run, seconds: float) -> None:
    Run.objects.filter(pk=run.pk).update(heartbeat_at=timezone.now() - timedelta(seconds=seconds))


def batch(*metrics: tuple[int, str, float], checkpoint: int = -1) -> EventBatch:
    return EventBatch(metrics={(step, name): value for step, name, value in metrics}, checkpoint=checkpoint)


def test_new_run_is_frozen_with_every_setting(start_run: StartRun, cast: Cast) -> None:
    run = start_run(steps=7)

    assert (run.config["steps"], run.config["checkpoint_every"]) == (7, 2)
    assert (run.state, run.attempt) == (RunState.QUEUED, 0)
    assert AuditEvent.objects.filter(verb="run.create", actor=cast.researcher).count() == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"config": {"speed": 1}}, "config_invalid"),
        ({"config": {"steps": 0}}, "config_invalid"),
        ({"config": {"steps": "many"}}, "config_invalid"),
        ({"kind": "test.none"}, "unknown_kind"),
        ({"seed": -1}, "seed_invalid"),
        ({"seed": 2**63}, "seed_invalid"),
        ({"inputs": {"groups": InputRef("0" * 64, False, "gone")}}, "artifact_missing"),
    ],
)
def test_impossible_run_is_refused(cast: Cast, changes: dict[str, Any], code: str) -> None:
    asked = {"kind": "test.count", "config": {}, "inputs": {}, **changes}

    with pytest.raises(Refused) as refused:
        create_run(workspace=cast.workspace, by=cast.researcher, title="x", **asked)

    assert refused.value.code == code
    assert not Run.objects.exists()


def test_what_a_stale_attempt_writes_is_dropped(start_run: StartRun) -> None:
    old = claimed(start_run())
    requeue_run(run_id=old.pk, attempt=1, code="x", reason="x", is_fault=True)
    new = claimed(old)
    ids: dict[str, Any] = {"run_id": old.pk, "attempt": 1}

    for write in (
        lambda: heartbeat(**ids),
        lambda: record_events(**ids, batch=batch((1, "loss", 1.0))),
        lambda: requeue_run(**ids, code="y", reason="y", is_fault=False),
        lambda: finish_run(**ids, state=RunState.SUCCEEDED),
    ):
        with pytest.raises(StaleAttempt):
            write()

    new.refresh_from_db()
    assert (new.state, new.attempt, new.max_attempts) == (RunState.RUNNING, 2, 3)
    assert not new.metrics.exists()
    assert {note.code for note in new.notes.all()} == {"x"}


def test_events_told_twice_are_stored_once(start_run: StartRun) -> None:
    run = claimed(start_run())
    for value in (1.0, 2.0):
        record_events(run_id=run.pk, attempt=1, batch=batch((1, "loss", value), (2, "loss", value)))

    assert list(run.metrics.order_by("step").values_list("step", "value")) == [(1, 2.0), (2, 2.0)]


def test_new_attempt_drops_metrics_behind_its_checkpoint(start_run: StartRun) -> None:
    run = claimed(start_run())
    record_events(run_id=run.pk, attempt=1, batch=batch(*((step, "loss", 1.0) for step in (1, 2, 3, 4))))

    record_events(run_id=run.pk, attempt=1, batch=batch((2, "loss", 1.0), checkpoint=2), restarted=True)

    assert set(run.metrics.values_list("step", flat=True)) == {1, 2}


def told(*places: tuple[int, int], text: str, checkpoint: int = -1) -> EventBatch:
    samples = {place: Sample(prompt="Why?", text=text, values={"score": 0.5}) for place in places}
    return EventBatch(samples=samples, checkpoint=checkpoint)


def test_samples_told_twice_are_stored_once_and_a_new_attempt_drops_those_behind_its_checkpoint(
    start_run: StartRun,
) -> None:
    run, other = claimed(start_run()), claimed(start_run())
    record_events(run_id=other.pk, attempt=1, batch=told((9, 0), text="of another run"))
    record_events(run_id=run.pk, attempt=1, batch=told((0, 0), (0, 1), (2, 0), (4, 0), text="first"))

    again = told((0, 0), (2, 0), text="again", checkpoint=2)
    record_events(run_id=run.pk, attempt=1, batch=again, restarted=True)

    assert list(run.samples.values_list("step", "index", "text")) == [
        (0, 0, "again"),
        (0, 1, "first"),
        (2, 0, "again"),
    ]
    assert other.samples.get().text == "of another run"


def test_run_of_a_dead_worker_is_queued_again_and_a_living_one_is_left(start_run: StartRun) -> None:
    dead, alive, waiting = claimed(start_run()), claimed(start_run()), start_run()
    fall_silent(dead, settings.RUN_DEAD_AFTER_SECONDS + 1)
    fall_silent(alive, settings.RUN_DEAD_AFTER_SECONDS - 2)

    assert recover_runs() == 1

    states = {run.pk: run.state for run in Run.objects.all()}
    assert states == {dead.pk: RunState.QUEUED, alive.pk: RunState.RUNNING, waiting.pk: RunState.QUEUED}
    assert [note.code for note in dead.notes.all()] == ["worker_lost"]


def test_run_whose_workers_keep_dying_fails(start_run: StartRun) -> None:
    run = start_run()
    for _attempt in range(run.max_attempts):
        claimed(run)
        fall_silent(run, 100)
        recover_runs()

    run.refresh_from_db()
    assert (run.state, run.attempt, run.error_code) == (RunState.FAILED, 3, "worker_lost")


def test_run_of_a_dead_worker_that_was_to_be_cancelled_is_cancelled(start_run: StartRun, cast: Cast) -> None:
    run = claimed(start_run())
    cancel_run(run=run, by=cast.researcher)
    assert heartbeat(run_id=run.pk, attempt=1).is_cancel_requested
    fall_silent(run, 100)

    recover_runs()

    run.refresh_from_db()
    assert run.state == RunState.CANCELLED


def test_forgotten_queued_run_is_nudged_once_a_minute(start_run: StartRun, nudged: list[int]) -> None:
    forgotten, fresh = start_run(), start_run()
    nudged.clear()
    fall_silent(forgotten, 61)
    fall_silent(fresh, 30)

    recover_runs()
    recover_runs()

    assert nudged == [forgotten.pk]


def test_finished_run_cannot_be_cancelled(start_run: StartRun, cast: Cast) -> None:
    run = claimed(start_run())
    finish_run(run_id=run.pk, attempt=1, state=RunState.FAILED, error_code="x", error_message="x")

    with pytest.raises(IllegalTransition) as refused:
        cancel_run(run=run, by=cast.researcher)
    assert refused.value.code == "run_finished"


def test_cancelling_twice_is_recorded_once(start_run: StartRun, cast: Cast) -> None:
    run = claimed(start_run())
    for _time in range(2):
        cancel_run(run=run, by=cast.researcher)
    assert AuditEvent.objects.filter(verb="run.cancel").count() == 1
