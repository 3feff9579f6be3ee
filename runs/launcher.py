"""Carries out one attempt of a run: claim, fetch, start the process, follow it, store what it made, end or requeue.

Runs in a Celery worker's main thread (`--pool solo`), because the process dies with the *thread* that started it. The
database is only touched for moments, and its connection is closed in between.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.utils.translation import gettext as _

from accounts.errors import Refused
from runs import ending, kinds, services, shutdown
from runs.artifacts import store
from runs.board import Board
from runs.directory import Outcome, WorkerRunDirectory
from runs.events import Rate
from runs.models import Run
from runs.process import ChildProcess
from runs.services import Artifact, Beat, StaleAttempt
from runs.slots import device_slot
from runs.states import RunState
from runs.tailer import Chunk, Tailer

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.5
CANCEL_GRACE_SECONDS = 20.0
"""A process looks for the cancel word between steps; after this it is told by signal."""
STOP_GRACE_SECONDS = 3.0
"""From SIGTERM to SIGKILL: a worker that is shut down has little time itself, and the last checkpoint stays."""
LOCKED_RETRY_SECONDS = 5.0

T = TypeVar("T")


def execute(*, run_id: int, worker: str) -> None:
    """Carry out one attempt of a queued run, once this machine's device is free, unless somebody else claims it first.

    Also: names the queue's next waiting run to the workers.
    """
    with device_slot(is_wanted=lambda: _is_waiting(run_id)) as is_free:
        run = services.claim_run(run_id=run_id, worker=worker) if is_free else None
        if run is None:
            return
        try:
            Attempt(run).carry_out()
        except StaleAttempt as error:
            logger.warning("%s: its process was ended", error)
    services.nudge_next(after=run)


def _is_waiting(run_id: int) -> bool:
    """Whether a worker that waits for the device should go on waiting for this run's sake."""
    is_queued = Run.objects.filter(pk=run_id, state=RunState.QUEUED).exists()
    _close_connection()
    return is_queued and not shutdown.is_requested()


def _close_connection() -> None:
    if not connection.in_atomic_block:
        connection.close()


class Attempt:
    """One attempt of one run by this worker."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.directory = WorkerRunDirectory(run)
        self._rate = Rate()
        self._last_beat = time.monotonic()
        self._is_cancelled = run.cancel_requested_at is not None
        self._deadlines: list[tuple[float, Callable[[], None]]] | None = None
        self._is_shut_down = False

    def carry_out(self) -> None:
        """From the claimed row to its next state.

        Raises:
            StaleAttempt: the row was taken away meanwhile; the process is gone and nothing was written.
        """
        try:
            self._prepare()
            code = self._supervise()
            self._conclude(code)
        except Refused as refused:
            self._fail(refused.code, refused.message)
        except OSError as error:
            if not ending.is_disk_full(error):
                raise
            self._fail("disk_full", ending.disk_full(self.directory.path))

    def _prepare(self) -> None:
        self.directory.make()
        shutil.rmtree(self.directory.inputs, ignore_errors=True)
        self.directory.inputs.mkdir(mode=0o700)
        for name, entry in self.run.inputs.items():
            fetch = store().fetch_directory if entry["type"] == "dir" else store().fetch_file
            fetch(entry["sha256"], self.directory.inputs / name, tick=self._beat_when_due)
        threads = settings.RUN_THREADS or len(os.sched_getaffinity(0))
        self.directory.write_spec(self.run, threads=threads, device=getattr(settings, "RUN_DEVICE", "cpu"))

    def _supervise(self) -> int:
        """Start the process and follow it to its end. Returns its exit code."""
        module = kinds.get(self.run.kind).module
        tailer = Tailer(self.directory.events)
        with Board(self.run) as board:
            with ChildProcess(module=module, directory=self.directory.path, log=self.directory.log) as child:
                while child.exit_code is None:
                    child.log.pump(TICK_SECONDS)
                    self._record(tailer, board)
                    self._beat_when_due()
                    self._steer(child)
                code = child.exit_code
            while (chunk := tailer.read(is_over=True)) is not None:
                self._store_events(chunk)
                tailer.advance(chunk)
                board.tell(chunk)
        return code

    def _record(self, tailer: Tailer, board: Board) -> None:
        """Store the next events; while the database is away they wait in the file."""
        chunk = tailer.read()
        if chunk is None:
            return
        beat = self._in_database(lambda: self._store_events(chunk))
        if beat is not None:
            tailer.advance(chunk)
            board.tell(chunk)
            self._last_beat = time.monotonic()
            self._is_cancelled = self._is_cancelled or beat.is_cancel_requested

    def _store_events(self, chunk: Chunk) -> Beat:
        progress = chunk.batch.progress
        if progress is not None:
            progress["eta_seconds"] = self._rate.eta_seconds(progress)
        return services.record_events(
            run_id=self.run.pk,
            attempt=self.run.attempt,
            batch=chunk.batch,
            progress=progress,
            restarted=chunk.restarted,
        )

    def _beat_when_due(self) -> None:
        if time.monotonic() - self._last_beat < settings.RUN_HEARTBEAT_SECONDS:
            return
        self._last_beat = time.monotonic()
        beat = self._in_database(lambda: services.heartbeat(run_id=self.run.pk, attempt=self.run.attempt))
        self._is_cancelled = self._is_cancelled or (beat is not None and beat.is_cancel_requested)

    def _steer(self, child: ChildProcess) -> None:
        """Pass on a wish to stop, first as a word, then by signals."""
        now = time.monotonic()
        if shutdown.is_requested() and not self._is_shut_down:
            self._is_shut_down = True
            self._deadlines = [(now, child.terminate), (now + STOP_GRACE_SECONDS, child.kill)]
        if self._is_cancelled and self._deadlines is None:
            self.directory.request_cancel()
            end = now + CANCEL_GRACE_SECONDS
            self._deadlines = [(end, child.terminate), (end + STOP_GRACE_SECONDS, child.kill)]
        while self._deadlines and now >= self._deadlines[0][0]:
            self._deadlines.pop(0)[1]()

    def _conclude(self, code: int) -> None:
        outcome = None if code == ending.EXIT_LOCKED else self.directory.outcome()
        if outcome is not None:
            self._accept(outcome)
        elif code == ending.EXIT_LOCKED:
            reason = _("Another process still works in this run's directory; it is left alone and the run waits.")
            self._requeue("run_locked", reason, is_fault=False, countdown=LOCKED_RETRY_SECONDS)
        elif self._is_cancelled:
            self._finish(RunState.CANCELLED)
        elif self._is_shut_down:
            reason = _("The worker was shut down; the run goes on from its last checkpoint.")
            self._requeue("worker_stopped", reason, is_fault=False)
        else:
            crash = ending.explain(code, self.directory.log)
            if self.run.attempt < self.run.max_attempts:
                self._requeue(crash.code, crash.message, is_fault=True, countdown=float(self.run.attempt))
            else:
                self._fail(crash.code, crash.message)

    def _accept(self, outcome: Outcome) -> None:
        artifacts = [self._store(name, path) for name, path in outcome.artifacts.items()]
        try:
            services.finish_run(
                run_id=self.run.pk,
                attempt=self.run.attempt,
                state=outcome.state,
                outcome=outcome.summary,
                artifacts=artifacts,
                error_code=outcome.error_code,
                error_message=outcome.error_message,
            )
        except (StaleAttempt, Refused, DatabaseError):
            raise  # a database error is tried again: the run is recovered, and its process finds its own outcome
        except Exception as error:
            logger.exception("the outcome of run %s could not be taken in", self.run.public_id)
            why = _(
                "The process succeeded, but its result could not be taken in (%(error)s); the worker's log says more."
            )
            raise Refused(why % {"error": type(error).__name__}, code="outcome_rejected") from error
        self.directory.tidy()

    def _store(self, name: str, path: Path) -> Artifact:
        is_directory = path.is_dir()
        put = store().put_directory if is_directory else store().put_file
        stored = put(path, is_ours=True, tick=self._beat_when_due)
        return Artifact(name=name, sha256=stored.sha256, is_directory=is_directory, num_bytes=stored.num_bytes)

    def _finish(self, state: RunState, code: str = "", message: str = "") -> None:
        services.finish_run(
            run_id=self.run.pk, attempt=self.run.attempt, state=state, error_code=code, error_message=message
        )
        self.directory.tidy()

    def _fail(self, code: str, message: str) -> None:
        self._finish(RunState.FAILED, code, message)

    def _requeue(self, code: str, reason: str, *, is_fault: bool, countdown: float = 0.0) -> None:
        services.requeue_run(
            run_id=self.run.pk,
            attempt=self.run.attempt,
            code=code,
            reason=reason,
            is_fault=is_fault,
            countdown=countdown,
        )

    def _in_database(self, work: Callable[[], T]) -> T | None:
        """The work's result, or None while the database cannot be reached: training does not stop for that."""
        try:
            return work()
        except (OperationalError, InterfaceError) as error:
            logger.warning("run %s: the database does not answer: %s", self.run.public_id, error)
            return None
        finally:
            _close_connection()
