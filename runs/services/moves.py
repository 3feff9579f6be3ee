"""A run's moves. Each is one conditional UPDATE on (pk, state, attempt): whoever comes second changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from accounts.enqueue import enqueue
from runs import kinds
from runs.models import Run, RunArtifact, RunNote
from runs.services.machines import see_machine
from runs.services.requests import EXECUTE
from runs.states import FINISHED, RunState


class StaleAttempt(Exception):
    """The row has moved on: another worker, a recovery or a person owns it now. What this attempt wrote is dropped."""


@dataclass(frozen=True, slots=True)
class Beat:
    """What a heartbeat brings back."""

    is_cancel_requested: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """An artifact of a finished process, in the store already."""

    name: str
    sha256: str
    is_directory: bool
    num_bytes: int


@transaction.atomic
def claim_run(*, run_id: int, worker: str) -> Run | None:
    """Take a queued run: the next attempt begins. None when it is not queued (any more).

    Also: notes that the worker's machine is still there.
    """
    queued = Run.objects.filter(pk=run_id, state=RunState.QUEUED)
    moved = queued.update(
        state=RunState.RUNNING,
        attempt=F("attempt") + 1,
        worker=worker[:120],
        heartbeat_at=timezone.now(),
        started_at=Coalesce("started_at", Now()),
        progress={},
    )
    see_machine(worker)
    return Run.objects.select_related("workspace").get(pk=run_id) if moved else None


def heartbeat(*, run_id: int, attempt: int, **changes: Any) -> Beat:
    """Say that the attempt lives, and store `changes` with it.

    Raises:
        StaleAttempt: the run is no longer this attempt's.
    """
    _move(run_id, attempt, heartbeat_at=timezone.now(), **changes)
    return Beat(Run.objects.filter(pk=run_id, cancel_requested_at__isnull=False).exists())


@transaction.atomic
def finish_run(
    *,
    run_id: int,
    attempt: int,
    state: RunState,
    outcome: Mapping[str, Any] | None = None,
    artifacts: Sequence[Artifact] = (),
    error_code: str = "",
    error_message: str = "",
) -> Run:
    """End a run.

    Also: where it succeeded its artifacts are recorded and its kind's `on_outcome` is called, all or nothing.

    Raises:
        StaleAttempt: the run is no longer this attempt's.
        Refused: whatever `on_outcome` turns down; the run is then still running.
    """
    if state not in FINISHED:
        raise ValueError(f"a run cannot finish as {state}")
    _move(
        run_id,
        attempt,
        state=state,
        outcome=None if outcome is None else dict(outcome),
        error_code=error_code[:60],
        error_message=error_message,
        finished_at=timezone.now(),
    )
    run = Run.objects.select_related("workspace").get(pk=run_id)
    if state == RunState.SUCCEEDED:
        rows = [RunArtifact(run=run, **_fields(artifact)) for artifact in artifacts]
        RunArtifact.objects.bulk_create(rows)
        kinds.get(run.kind).on_outcome(run)
    return run


@transaction.atomic
def requeue_run(*, run_id: int, attempt: int, code: str, reason: str, is_fault: bool, countdown: float = 0.0) -> None:
    """Put a run back: its next attempt resumes from the last checkpoint. A run that was to be cancelled is cancelled.

    Also: leaves `reason` as a note, and tells a worker after `countdown` seconds.

    Args:
        is_fault: the attempt counts towards `max_attempts`; a worker that was shut down is nobody's fault.

    Raises:
        StaleAttempt: the run is no longer this attempt's.
    """
    now = timezone.now()
    allowance = {} if is_fault else {"max_attempts": F("max_attempts") + 1}
    _move(run_id, attempt, state=RunState.QUEUED, worker="", heartbeat_at=now, **allowance)
    if settle_cancelled(run_id):
        return
    RunNote.objects.create(
        run_id=run_id, level="warning" if is_fault else "info", code=code, message=reason, created_at=now
    )
    kind = Run.objects.values_list("kind", flat=True).get(pk=run_id)
    enqueue(EXECUTE, run_id, queue=kinds.queue_of(kind), countdown=countdown)


def settle_cancelled(run_id: int) -> bool:
    """A queued run that somebody wanted cancelled ends here."""
    wanted = Run.objects.filter(pk=run_id, state=RunState.QUEUED, cancel_requested_at__isnull=False)
    return bool(wanted.update(state=RunState.CANCELLED, finished_at=timezone.now()))


def _move(run_id: int, attempt: int, **changes: Any) -> None:
    if not Run.objects.filter(pk=run_id, state=RunState.RUNNING, attempt=attempt).update(**changes):
        raise StaleAttempt(f"run {run_id} is no longer in its attempt {attempt}")


def _fields(artifact: Artifact) -> dict[str, Any]:
    return {
        "name": artifact.name,
        "sha256": artifact.sha256,
        "is_directory": artifact.is_directory,
        "num_bytes": artifact.num_bytes,
    }
