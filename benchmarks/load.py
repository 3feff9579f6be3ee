"""A closed loop without think time: each person takes the next task as soon as the last one is in."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from benchmarks.usage import cpu_seconds


class Person(Protocol):
    """Somebody at work; both methods last until the server has answered, whatever it takes."""

    async def take(self) -> bool:
        """Get the next task; False: nothing is left."""

    async def hand_in(self) -> bool:
        """Hand in the task that was taken; False: the server refused it."""


@dataclass(slots=True)
class Times:
    """What people waited for, in milliseconds; a cycle is a task that was taken and handed in."""

    next_ms: list[float] = field(default_factory=list)
    submit_ms: list[float] = field(default_factory=list)
    num_refused: int = 0
    seconds: float = 0.0
    client_cpu_seconds: float = 0.0
    """Of this process: the load generator shares the machine with what it loads."""

    @property
    def cycles_per_second(self) -> float:
        return len(self.submit_ms) / self.seconds if self.seconds else 0.0


async def shift(people: Sequence[Person], seconds: float, times: Times | None = None) -> Times:
    """Everybody works for so long, or until nothing is left; a cycle that was begun is finished.

    Args:
        times: filled in while they work, for who wants to watch.
    """
    times = times or Times()
    began, cpu = time.perf_counter(), cpu_seconds()
    await asyncio.gather(*(_work(person, began + seconds, times) for person in people))
    times.seconds, times.client_cpu_seconds = time.perf_counter() - began, cpu_seconds() - cpu
    return times


async def _work(person: Person, until: float, times: Times) -> None:
    while (began := time.perf_counter()) < until:
        if not await person.take():
            return
        taken = time.perf_counter()
        is_in = await person.hand_in()
        done = time.perf_counter()
        if is_in:
            times.next_ms.append(1000 * (taken - began))
            times.submit_ms.append(1000 * (done - taken))
        else:
            times.num_refused += 1


def percentile(values: Sequence[float], percent: int) -> float | None:
    """By linear interpolation; None of nothing."""
    if len(values) < 2:
        return values[0] if values else None
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
