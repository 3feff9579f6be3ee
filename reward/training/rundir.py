"""The child's side of a run directory: spec in, events, checkpoints and one outcome out.

    run.json  events.jsonl  checkpoints/step-000010/  artifacts/  control  lock  outcome.json

A step number in an event or a checkpoint means "after this step": a checkpoint of step 10 holds what the metrics of
steps up to and including 10 describe, so a resume cuts the events behind it and goes on with step 11.
"""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO, TypeVar

from reward.training import checkpoints
from reward.training.configuration import from_dict
from reward.training.events import cut_events
from reward.training.outcome import RESERVE, Outcome, Status, TrainingRefused, disk_is_full, write_outcome

PROGRESS_INTERVAL_SECONDS = 0.5
STARTED = time.monotonic()
RESERVE_BYTES = 64 * 1024

Level = Literal["info", "warning"]
Config = TypeVar("Config")


__all__ = ["LockHeld", "Outcome", "RunDirectory", "RunSpec", "Stopped", "TrainingRefused"]


class LockHeld(Exception):
    """Another process is working in this run directory."""


class Stopped(Exception):
    """SIGTERM was received: leave without an outcome so that the run can be resumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """run.json, read."""

    run: str
    kind: str
    attempt: int
    seed: int
    config: Mapping[str, Any]
    inputs: Mapping[str, Mapping[str, Any]]
    threads: int
    device: str


class RunDirectory:
    """One locked run directory. Made by `open`; the lock is held until the process ends or `close` is called."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock
        self._last_progress = -math.inf
        self.stopping = False
        self._write_reserve()
        self.spec = read_spec(path)
        self._checkpoint: tuple[int, Path] | None = None
        self._events = self._resume()

    @classmethod
    def open(cls, path: str | Path) -> RunDirectory:
        """Lock the directory, choose the checkpoint to resume from and cut the events back to it.

        Raises:
            LockHeld: another process holds the lock.
            TrainingRefused: run.json cannot be read (`bad_spec`).
        """
        path = Path(path).resolve()
        lock = take_lock(path)
        try:
            return cls(path, lock)
        except BaseException:
            os.close(lock)
            raise

    def close(self) -> None:
        """Release the lock (a process that ends releases it anyway)."""
        self._events.close()
        os.close(self._lock)

    # Reading

    def config(self, cls: type[Config]) -> Config:
        """The spec's config as `cls`; a wrong setting is refused with the setting's name (`bad_config`)."""
        try:
            return from_dict(cls, self.spec.config)
        except ValueError as error:
            raise TrainingRefused(
                f"The configuration of this run cannot be used: {error}.", code="bad_config"
            ) from None

    def input(self, name: str) -> Path:
        """Path of the input `name`. Raises TrainingRefused (`input_missing`) when it is not named or not there."""
        entry = self.spec.inputs.get(name)
        if entry is None:
            raise TrainingRefused(f"This run needs an input named {name}, and none was given.", code="input_missing")
        path = Path(entry["path"])
        if not path.exists():
            raise TrainingRefused(f"The input {name} is not at {path}; fetch it again and retry.", code="input_missing")
        return path

    def cancelled(self) -> bool:
        """Ask at every step boundary: True once the launcher wants the run cancelled.

        Raises:
            Stopped: SIGTERM was received (see `stopping`, set before, for a last checkpoint).
        """
        if self.stopping:
            raise Stopped
        try:
            return bool(json.loads((self.path / "control").read_text()).get("command") == "cancel")
        except (FileNotFoundError, ValueError, AttributeError):
            return False

    def latest_checkpoint(self) -> tuple[int, Path] | None:
        """Step and directory of the newest checkpoint that verifies, or None on a first start."""
        return self._checkpoint

    def artifact_path(self, name: str) -> Path:
        """Where to write the artifact `name` (its parent exists)."""
        folder = self.path / "artifacts"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder / name

    # Telling

    def metrics(self, step: int, **values: float) -> None:
        """Metrics of one step. What is not finite has no JSON number and nothing to plot: it is left out."""
        self._event(type="metrics", step=step, metrics=_finite(values))

    def sample(self, step: int, index: int, *, prompt: str, text: str, values: Mapping[str, float]) -> None:
        """An answer for people to read, with numbers on it: to the same prompt `index`, from 0, at each step told.

        The first step told, before any update, is what later ones are compared with.
        """
        self._event(type="sample", step=step, index=index, prompt=prompt, text=text, values=_finite(values))

    def progress(self, phase: str, done: int, total: int, unit: str) -> None:
        """Progress of a phase; at most two events a second are written, the last one of a phase always."""
        now = time.monotonic()
        if done < total and now - self._last_progress < PROGRESS_INTERVAL_SECONDS:
            return
        self._last_progress = now
        self._event(type="progress", phase=phase, done=done, total=total, unit=unit)

    def note(self, code: str, message: str, level: Level = "info") -> None:
        """One sentence for people."""
        self._event(type="note", level=level, code=code, message=message)

    def save_checkpoint(self, step: int, write: Callable[[Path], None], *, kept: int = checkpoints.KEPT) -> None:
        """Write a checkpoint atomically and keep the last `kept`. On a full disk the one before stays, which is told.

        `write` gets an empty directory and puts safetensors and JSON files there.
        """
        self._events.flush()
        os.fsync(self._events.fileno())
        try:
            target = checkpoints.save(self._checkpoints, step, write, kept=kept)
        except Exception as error:  # safetensors has an exception of its own
            if not disk_is_full(error):
                raise
            self._checkpoint_failed(step)
            return
        self._checkpoint = (step, target)
        self._event(type="checkpoint", step=step, path=str(target.relative_to(self.path)))

    def finish(
        self,
        status: Status,
        metrics: Mapping[str, float | None] | None = None,
        artifacts: Mapping[str, Path] | None = None,
        error: TrainingRefused | None = None,
    ) -> None:
        """Write outcome.json, the last file of a run."""
        found = {name: {"path": str(Path(path).relative_to(self.path))} for name, path in (artifacts or {}).items()}
        write_outcome(self.path, status, metrics or {}, found, error, seconds=time.monotonic() - STARTED)

    # Inside

    @property
    def _checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def _resume(self) -> TextIO:
        self._checkpoint, rejected = checkpoints.newest_valid(self._checkpoints)
        step = None if self._checkpoint is None else self._checkpoint[0]
        cut_events(self.path / "events.jsonl", step)
        events = (self.path / "events.jsonl").open("a", encoding="utf-8")
        start = "from the beginning" if step is None else f"from step {step}"
        for bad_step, reason in rejected:
            message = f"The checkpoint of step {bad_step} does not verify ({reason}); the run goes on {start}."
            _tell(events, type="note", level="warning", code="checkpoint_rejected", message=message)
        if step is not None:
            print(f"attempt {self.spec.attempt}: resuming {start}", flush=True)
        return events

    def _checkpoint_failed(self, step: int) -> None:
        checkpoints.remove_unfinished(self._checkpoints)
        stays = "there is none yet" if self._checkpoint is None else f"the one of step {self._checkpoint[0]} stays"
        message = f"The disk is full, so no checkpoint of step {step} was written; {stays}. Free some space meanwhile."
        self.note("checkpoint_failed", message, level="warning")

    def _event(self, **event: Any) -> None:
        _tell(self._events, **event)

    def _write_reserve(self) -> None:
        # Freed before outcome.json is written, so that a full disk can still be reported.
        (self.path / RESERVE).write_bytes(b"\0" * RESERVE_BYTES)


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if math.isfinite(value)}


def _tell(events: TextIO, **event: Any) -> None:
    line = {"type": event.pop("type"), "time": time.time(), **event}
    events.write(json.dumps(line, allow_nan=False) + "\n")
    events.flush()


def take_lock(path: Path) -> int:
    """Lock RUN_DIR/lock for the life of the returned descriptor. Raises LockHeld."""
    lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise LockHeld(f"{path} is in use by another process") from None
        raise
    return lock


def read_spec(path: Path) -> RunSpec:
    try:
        data = json.loads((path / "run.json").read_text())
        if data["format"] != 1:
            raise ValueError(f"format {data['format']} is not known")
        return RunSpec(**{name: data[name] for name in RunSpec.__dataclass_fields__})
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"run.json in {path} cannot be read ({error}); start the run again from the site."
        raise TrainingRefused(message, code="bad_spec") from None
