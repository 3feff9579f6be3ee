"""What a process writes to events.jsonl, read with distrust: a line that does not fit is counted and passed over."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

MAX_STEP = 2**31 - 1
MAX_MESSAGE = 4000
MAX_SAMPLES = 64
"""Prompts whose answers a run may show at a step."""
MAX_SAMPLE_VALUES = 20
MAX_SAMPLE_TEXT = 50_000
"""Characters of a prompt or an answer; the rest is not shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    level: str
    code: str
    message: str
    time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """An answer that a process wanted people to read, with numbers on it."""

    prompt: str
    text: str
    values: dict[str, float | None]


@dataclass(slots=True, kw_only=True)
class EventBatch:
    """What some lines said.

    Attributes:
        metrics: (step, name) -> value, the last one said; None for what was not finite.
        samples: (step, index of the prompt) -> the answer, the last one said.
        times: step -> when its metrics were last told, in seconds since 1970.
        progress: the last progress event with its time, or None.
        checkpoint: step of the last checkpoint event, -1 where there was none.
        num_bad: lines that were no event.
    """

    metrics: dict[tuple[int, str], float | None] = field(default_factory=dict)
    samples: dict[tuple[int, int], Sample] = field(default_factory=dict)
    times: dict[int, float] = field(default_factory=dict)
    progress: dict[str, Any] | None = None
    notes: list[Note] = field(default_factory=list)
    checkpoint: int = -1
    num_bad: int = 0

    def __bool__(self) -> bool:
        return bool(self.metrics or self.samples or self.progress or self.notes or self.num_bad)

    def add(self, line: bytes) -> None:
        """Take in one line."""
        try:
            event = json.loads(line)
            _READERS[event["type"]](self, event)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            self.num_bad += 1

    def _metrics(self, event: dict[str, Any]) -> None:
        step = _step(event)
        values = {(step, _name(name)): _number(value) for name, value in event["metrics"].items()}
        self.metrics.update(values)
        time = _number(event.get("time"))
        if time is not None:
            self.times[step] = time

    def _sample(self, event: dict[str, Any]) -> None:
        step, index = _step(event), event["index"]
        if type(index) is not int or not 0 <= index < MAX_SAMPLES:
            raise ValueError(index)
        values = {_name(name): _number(value) for name, value in event["values"].items()}
        if len(values) > MAX_SAMPLE_VALUES:
            raise ValueError(len(values))
        prompt, text = (clean(event[key])[:MAX_SAMPLE_TEXT] for key in ("prompt", "text"))
        self.samples[step, index] = Sample(prompt=prompt, text=text, values=values)

    def _progress(self, event: dict[str, Any]) -> None:
        self.progress = {
            "phase": clean(event["phase"])[:80],
            "done": int(event["done"]),
            "total": int(event["total"]),
            "unit": clean(event["unit"])[:40],
            "time": float(event["time"]),
        }

    def _note(self, event: dict[str, Any]) -> None:
        level = "warning" if event.get("level") == "warning" else "info"
        time = datetime.fromtimestamp(float(event["time"]), tz=UTC)
        code, message = clean(event.get("code", ""))[:60], clean(event["message"])[:MAX_MESSAGE]
        self.notes.append(Note(level=level, code=code, message=message, time=time))

    def _checkpoint(self, event: dict[str, Any]) -> None:
        self.checkpoint = _step(event)


_READERS = {
    "metrics": EventBatch._metrics,
    "sample": EventBatch._sample,
    "progress": EventBatch._progress,
    "note": EventBatch._note,
    "checkpoint": EventBatch._checkpoint,
}


@dataclass(slots=True)
class Rate:
    """Time left in a phase, from the pace since the phase began."""

    phase: str = ""
    done: int = 0
    started_done: int = 0
    started_time: float = 0.0

    def eta_seconds(self, progress: dict[str, Any]) -> float | None:
        """Seconds until `done` reaches `total`; None until there is a pace. Feed it progress in order."""
        done, time = progress["done"], progress["time"]
        if progress["phase"] != self.phase or done < self.done:
            self.phase, self.started_done, self.started_time = progress["phase"], done, time
        self.done = done
        moved, elapsed = done - self.started_done, time - self.started_time
        if moved <= 0 or elapsed <= 0:
            return None
        return round(max(0, progress["total"] - done) * elapsed / moved, 1)


def clean(text: Any) -> str:
    """Text that PostgreSQL can hold: no NUL, no lone surrogates."""
    return str(text).encode("utf-8", "replace").decode().replace("\x00", "")


def _step(event: dict[str, Any]) -> int:
    step = event["step"]
    if type(step) is not int or not 0 <= step <= MAX_STEP:
        raise ValueError(step)
    return step


def _name(name: str) -> str:
    if not name or len(name) > 80 or clean(name) != name:
        raise ValueError(name)
    return name


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if type(value) not in (int, float):
        raise ValueError(value)
    number = float(value)
    return number if math.isfinite(number) else None
