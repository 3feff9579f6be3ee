"""A run's scalars under TENSORBOARD_DIR while it trains, for `tensorboard --logdir`."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from django.conf import settings
from django.utils.text import slugify

from runs.event_file import EventFile
from runs.models import Run
from runs.tailer import Chunk

logger = logging.getLogger(__name__)


def board_directory(run: Run) -> Path:
    """<TENSORBOARD_DIR>/<kind>/<title>-<short id>: titles repeat, and may hold anything."""
    name = f"{slugify(run.title)[:60]}-{str(run.public_id)[:8]}".lstrip("-")
    return Path(settings.TENSORBOARD_DIR) / run.kind / name


class Board:
    """One attempt's event file. Where it cannot be written the log says so once, and the run goes on without it."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._file: EventFile | None = None
        self._is_wanted = bool(settings.TENSORBOARD_DIR)

    def __enter__(self) -> Board:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._attempt_to(self._close)

    def tell(self, chunk: Chunk) -> None:
        """Write what was stored of a run's events. To be told once of each chunk, in order."""
        self._attempt_to(lambda: self._write(chunk))

    def _attempt_to(self, work: Callable[[], None]) -> None:
        if not self._is_wanted:
            return
        try:
            work()
        except Exception as error:  # whatever it is, training does not depend on it
            self._is_wanted = False
            message = "run %s: TensorBoard is told no more in this attempt, %s cannot be written: %s"
            logger.warning(message, self._run.public_id, board_directory(self._run), error)

    def _write(self, chunk: Chunk) -> None:
        # An attempt's events begin at step 0, cut back to its checkpoint: they replace all that earlier ones wrote,
        # which may have been on another machine.
        if self._file is None:
            self._file = _open(self._run)
            self._file.restart(step=0)
        values: dict[int, dict[str, float | None]] = defaultdict(dict)
        for (step, name), value in chunk.batch.metrics.items():
            values[step][name] = value
        for step, told in values.items():
            self._file.add_scalars(step, told, wall_time=chunk.batch.times.get(step, time.time()))
        self._file.flush()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()


def _open(run: Run) -> EventFile:
    directory = board_directory(run)
    directory.mkdir(parents=True, exist_ok=True)
    # TensorBoard reads a directory's files in the order of their names.
    name = f"events.out.tfevents.{int(time.time()):010d}.{run.attempt:03d}.{socket.gethostname()}.{os.getpid()}"
    return EventFile((directory / name).open("xb"))
