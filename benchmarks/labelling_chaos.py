"""Disorder while people work: web workers and database connections are killed, and requests are cut, at random."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil
import psycopg

from benchmarks.labelling_site import Site
from benchmarks.load import Person, Times, shift

CUT_SHARE = 0.1
"""Of the requests."""
WORKER_SECONDS = 2.0
"""Mean time between two kills of a web worker."""
BACKEND_SECONDS = 1.0
"""Mean time between two ends of a database connection."""


@dataclass(slots=True)
class Disorder:
    """How much of it there was."""

    num_workers: int = 0
    num_backends: int = 0
    num_cut: int = 0


async def disturbed_shift(people: Sequence[Person], seconds: float, site: Site, seed: int) -> tuple[Times, Disorder]:
    """A shift under disorder that never rests."""
    disorder, times = Disorder(), Times()
    chance = random.Random(seed)
    troubles = [
        asyncio.create_task(_kill_workers(site, chance, disorder, times, len(people))),
        asyncio.create_task(_end_backends(os.environ["DATABASE_URL"], chance, disorder)),
    ]
    try:
        return await shift(people, seconds, times), disorder
    finally:
        for trouble in troubles:
            trouble.cancel()
        await asyncio.gather(*troubles, return_exceptions=True)


async def _kill_workers(site: Site, chance: random.Random, disorder: Disorder, times: Times, num_cycles: int) -> None:
    """Not before so many cycles were finished since the last one: on a busy machine a worker takes long to come up."""
    due = 0
    while True:
        await asyncio.sleep(chance.expovariate(1 / WORKER_SECONDS))
        while len(times.submit_ms) < due:
            await asyncio.sleep(0.1)
        due = len(times.submit_ms) + num_cycles
        workers = site.web_workers()
        if workers:
            with suppress(psutil.NoSuchProcess):
                chance.choice(workers).send_signal(signal.SIGKILL)
                disorder.num_workers += 1


async def _end_backends(url: str, chance: random.Random, disorder: Disorder) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        while True:
            await asyncio.sleep(chance.expovariate(1 / BACKEND_SECONDS))
            ended = await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' "
                "AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1"
            )
            disorder.num_backends += ended.rowcount
