"""Progress on a terminal or in a log: what runs, how far it is, when it will be done, and the time it was given."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TextIO

LOG_EVERY_SECONDS = 15.0


class PhaseTime(NamedTuple):
    title: str
    seconds: float
    budget_seconds: float


def clock(seconds: float) -> str:
    """Minutes and seconds, as 4:07."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


class Progress:
    """Writes one line per phase; on a terminal the line is redrawn, in a log it is repeated every 15 seconds.

    Args:
        check: called at every pause; raises where waiting has become useless.
    """

    def __init__(self, *, num_phases: int, out: TextIO | None = None, check: Callable[[], None] = lambda: None) -> None:
        self.times: list[PhaseTime] = []
        self._out = out or sys.stdout
        self._check = check
        self._num_phases = num_phases
        self._head = ""
        self._started = 0.0
        self._written = 0.0

    @contextmanager
    def phase(self, title: str, *, budget_seconds: float) -> Iterator[None]:
        self._head = f"[{len(self.times) + 1}/{self._num_phases}] {title}"
        self._started = time.monotonic()
        self._written = 0.0
        self._write(f"budget {clock(budget_seconds)}", force=True)
        yield
        seconds = time.monotonic() - self._started
        self.times.append(PhaseTime(title, seconds, budget_seconds))
        late = "" if seconds <= budget_seconds else f", over its budget of {clock(budget_seconds)}"
        self._write(f"done in {clock(seconds)}{late}", force=True)
        self._out.write("\n" if self._out.isatty() else "")
        self._out.flush()

    def show(self, done: float, total: float, unit: str, *, eta_seconds: float | None = None) -> None:
        """Say how far the phase is; without an ETA of its own, one is reckoned from the phase's pace."""
        spent = time.monotonic() - self._started
        if eta_seconds is None and done:
            eta_seconds = spent / done * (total - done)
        eta = f", ETA {clock(eta_seconds)}" if eta_seconds is not None else ""
        self._write(f"{done:g}/{total:g} {unit}, {clock(spent)}{eta}")

    def pause(self, seconds: float) -> None:
        """Wait a moment for somebody else's work."""
        self._check()
        time.sleep(seconds)

    def _write(self, text: str, *, force: bool = False) -> None:
        now = time.monotonic()
        if self._out.isatty():
            self._out.write(f"\r\x1b[2K{self._head}: {text}")
        elif force or now - self._written >= LOG_EVERY_SECONDS:
            self._out.write(f"{self._head}: {text}\n")
        else:
            return
        self._written = now
        self._out.flush()
