"""Keeps the programs of the site running and ends them in order.

honcho lends its printer. Its manager starts and ends everything at once, gives five seconds to end, and lets children
outlive a killed parent; a worker needs its broker and the broker's clients need the database, so that part is ours.
"""

from __future__ import annotations

import datetime
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from honcho.colour import get_colours
from honcho.printer import Message, Printer

from config.embedded.errors import EmbeddedError
from config.embedded.layout import PROJECT
from config.embedded.spawn import open_log, spawn

MAX_RESTARTS = 5
RESTART_WINDOW_SECONDS = 60.0
TICK_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program of the site."""

    name: str
    command: Sequence[str]
    stop: Sequence[tuple[signal.Signals, float]] = ((signal.SIGTERM, 10.0), (signal.SIGQUIT, 5.0))
    """Signals to end it with and the seconds each is given, before SIGKILL to its process group."""
    death_signal: signal.Signals = signal.SIGQUIT
    """What the kernel sends it when the supervisor is killed; gunicorn drops everything and ends."""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Child:
    program: Program
    process: subprocess.Popen[bytes]
    colour: str
    starts: list[float]
    rest: bytes = b""


class Supervisor:
    """Starts programs, passes on what they print, restarts those that fall, ends them in the reverse of need.

    Single-threaded: the kernel ties a child to the thread that started it. With `logs` every program writes to
    `logs`/NAME.log instead of the console.
    """

    def __init__(self, *, logs: Path | None = None) -> None:
        self.hurry = False
        """Set from a signal handler: give nobody time any more."""
        self.stopping = False
        self._logs = logs
        self._children: dict[str, _Child] = {}
        self._selector = selectors.DefaultSelector()
        self._printer = Printer(output=sys.stdout, width=len("worker-default"))
        self._colours = get_colours()

    def say(self, text: str) -> None:
        self._print("plumbline", text.encode(), None)

    def pid(self, name: str) -> int:
        return self._children[name].process.pid

    def start(self, program: Program) -> None:
        self._children[program.name] = self._launch(program, next(self._colours), [])

    def run(self, program: Program) -> None:
        """Run a program to its end.

        Raises:
            EmbeddedError: it failed.
        """
        child = self._launch(program, next(self._colours), [])
        self._children[program.name] = child
        while child.process.poll() is None:
            self._pump(TICK_SECONDS)
        self._forget(child)
        if child.process.returncode != 0:
            where = f"in {self._logs / program.name}.log" if self._logs else "above"
            raise EmbeddedError(f"{program.name.capitalize()} failed; its words are {where}.", code="program_failed")

    def tend(self, seconds: float, *, until: Callable[[], bool] = lambda: False) -> bool:
        """Pass on output and restart what fell, for `seconds` or until `until()`; returns its last answer.

        Raises:
            EmbeddedError: a program falls again and again.
        """
        deadline = time.monotonic() + seconds
        while not (done := until()) and time.monotonic() < deadline:
            self._pump(TICK_SECONDS)
            for child in list(self._children.values()):
                if child.process.poll() is not None:
                    self._restart(child)
        return done

    def stop(self, groups: Sequence[Sequence[str]]) -> None:
        """End the named programs group by group, those of one group side by side; then whatever is left."""
        self.stopping = True
        rest = [name for name in self._children if not any(name in group for group in groups)]
        for names in (*groups, rest):
            self._stop([self._children[name] for name in names if name in self._children])

    def _launch(self, program: Program, colour: str, starts: list[float]) -> _Child:
        log = open_log(self._logs / f"{program.name}.log") if self._logs else None
        process = spawn(
            program.command,
            directory=PROJECT,
            death_signal=program.death_signal,
            output=log if log is not None else subprocess.PIPE,
            environment={**os.environ, "PYTHONUNBUFFERED": "1", **program.environment},
        )
        if log is not None:
            log.close()
        child = _Child(program, process, colour, [*starts, time.monotonic()])
        if process.stdout is not None:
            os.set_blocking(process.stdout.fileno(), False)
            self._selector.register(process.stdout, selectors.EVENT_READ, child)
        return child

    def _restart(self, child: _Child) -> None:
        self._forget(child)
        name, code = child.program.name, child.process.returncode
        recent = [start for start in child.starts if time.monotonic() - start < RESTART_WINDOW_SECONDS]
        if len(recent) > MAX_RESTARTS:
            raise EmbeddedError(
                f"{name} ended {len(recent)} times within a minute (the last time with {code}); the site stops.",
                code="program_keeps_falling",
            )
        self.say(f"{name} ended with {code}; starting it again")
        self._kill_group(child)
        self._pump(1.0)
        self._children[name] = self._launch(child.program, child.colour, recent)

    def _stop(self, children: list[_Child]) -> None:
        for child in children:
            self.say(f"ending {child.program.name}")
        steps = max((len(child.program.stop) for child in children), default=0)
        for step in range(steps):
            alive = [child for child in children if child.process.poll() is None and step < len(child.program.stop)]
            for child in alive:
                child.process.send_signal(child.program.stop[step][0])
            deadline = time.monotonic() + max((child.program.stop[step][1] for child in alive), default=0.0)
            while any(c.process.poll() is None for c in alive) and time.monotonic() < deadline and not self.hurry:
                self._pump(TICK_SECONDS)
        for child in children:
            self._kill_group(child)
            child.process.wait()
            self._forget(child)

    def _kill_group(self, child: _Child) -> None:
        """A pool process that outlived its master must not stay behind."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.process.pid, signal.SIGKILL)

    def _forget(self, child: _Child) -> None:
        self._children.pop(child.program.name, None)
        if child.process.stdout is not None:
            self._drain(child)
            with suppress(KeyError):
                self._selector.unregister(child.process.stdout)
            child.process.stdout.close()

    def _pump(self, seconds: float) -> None:
        if not self._selector.get_map():
            time.sleep(seconds)
            return
        for key, _ in self._selector.select(seconds):
            self._drain(key.data)

    def _drain(self, child: _Child) -> None:
        """Print what a child wrote, line by line."""
        assert child.process.stdout is not None
        with suppress(BlockingIOError):
            while chunk := os.read(child.process.stdout.fileno(), 65536):
                *lines, child.rest = (child.rest + chunk).split(b"\n")
                for line in lines:
                    self._print(child.program.name, line, child.colour)
            # End of file: without this the selector would report it for ever.
            with suppress(KeyError):
                self._selector.unregister(child.process.stdout)

    def _print(self, name: str, line: bytes, colour: str | None) -> None:
        now = datetime.datetime.now().astimezone()
        # A closed terminal must not keep us from ending the children.
        with suppress(OSError, ValueError):
            self._printer.write(Message(type="line", data=line, time=now, name=name, colour=colour))
