"""One run: tasks are loaded, people sign in and work, then everything is counted in the database."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from accounts.models import User
from annotation.models import Campaign
from benchmarks import labelling_data
from benchmarks.browser import Browser, FrailBrowser
from benchmarks.cpu import Trees
from benchmarks.labelling_chaos import CUT_SHARE, disturbed_shift
from benchmarks.labelling_checks import Soundness, examine
from benchmarks.labelling_first_load import first_load
from benchmarks.labelling_past import work_before
from benchmarks.labelling_people import Labeler, Reader
from benchmarks.labelling_site import Site
from benchmarks.load import Times, percentile, shift

CHAOS_TASKS_PER_SECOND = 60
CHAOS_SETTINGS = {"overlap": 3, "lease_seconds": 30}
"""Slots are contended, and leases of those whose answer was cut run out while the others work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is asked of the site."""

    labelers: int
    tasks: int
    seconds: float
    warm_up_seconds: float
    chaos_seconds: float
    answers: int
    overlap: int
    pages: bool
    """Work on the pages instead of over the API."""
    seed: int


class Run:
    """Everything happens in one event loop, between which the database is asked."""

    def __init__(self, work: Work, site: Site) -> None:
        self.work, self.site = work, site
        self.workspace, self.users = labelling_data.people(work.labelers)
        work_before(self.workspace, self.users, completions_per_task=work.answers)

    def measure(self) -> dict[str, Any]:
        """The row, and under `details` what explains it."""
        campaign = self._campaign("Measured", self.work.tasks, overlap=self.work.overlap)
        with asyncio.Runner() as runner:
            people = [self._person(user, campaign) for user in self.users]
            runner.run(_sign_in(people))
            parts = runner.run(first_load(self._reader_like(people[0])))
            runner.run(shift(people, self.work.warm_up_seconds))
            trees = Trees(self.site.pids)
            times = runner.run(shift(people, self.work.seconds))
            spent, elsewhere = trees.seconds(), trees.cores_elsewhere(times.client_cpu_seconds)
            _close(people)
        sound = examine(campaign, [person.said for person in people])
        chaos: dict[str, Any] | None = None
        if self.work.chaos_seconds:
            chaos, chaos_sound = self._chaos()
            sound = sound.plus(chaos_sound)
        return {
            **row(self.work, times, sound),
            "first_load_kb": round(sum(part.num_bytes for part in parts) / 1000, 1),
            "server_cpu_ms_per_cycle": _per_cycle(sum(spent.values()), times),
            "details": {
                "cpu_ms_per_cycle": {name: _per_cycle(seconds, times) for name, seconds in spent.items()},
                "load_generator_cpu_ms_per_cycle": _per_cycle(times.client_cpu_seconds, times),
                "cores_used_elsewhere": round(elsewhere, 3),
                "cycles": len(times.submit_ms),
                "refused": times.num_refused,
                "retries": sum(person.num_retries for person in people),
                "soundness": sound._asdict(),
                "is_sound": sound.is_sound,
                "chaos": chaos,
                "first_load": [part._asdict() for part in parts],
            },
        }

    def _chaos(self) -> tuple[dict[str, Any], Soundness]:
        num_tasks = max(20, int(CHAOS_TASKS_PER_SECOND * self.work.chaos_seconds))
        campaign = self._campaign("Disturbed", num_tasks, **CHAOS_SETTINGS)
        with asyncio.Runner() as runner:
            people = [self._person(user, campaign, frail=True) for user in self.users]
            runner.run(_sign_in(people))
            for person in people:
                person.browser.share = CUT_SHARE  # type: ignore[attr-defined]
            seconds, seed = self.work.chaos_seconds, self.work.seed
            times, disorder = runner.run(disturbed_shift(people, seconds, self.site, seed))
            _close(people)
        # Our own connection was fair game too.
        connection.close()
        disorder.num_cut = sum(person.browser.num_cut for person in people)  # type: ignore[attr-defined]
        sound = examine(campaign, [person.said for person in people])
        found = {
            "cycles": len(times.submit_ms),
            "seconds": round(times.seconds, 1),
            "refused": times.num_refused,
            "retries": sum(person.num_retries for person in people),
            **dataclasses.asdict(disorder),
            "soundness": sound._asdict(),
        }
        return found, sound

    def _campaign(self, name: str, num_tasks: int, **settings: Any) -> Campaign:
        return labelling_data.campaign(
            self.workspace,
            self.users,
            name=name,
            num_tasks=num_tasks,
            completions_per_task=self.work.answers,
            **settings,
        )

    def _person(self, user: User, campaign: Campaign, *, frail: bool = False) -> Labeler:
        kind = Reader if self.work.pages else Labeler
        chance = random.Random(f"{self.work.seed} {user.username} {campaign.name}")
        where = (self.site.host, self.site.port, self.site.headers)
        browser = FrailBrowser(*where, share=0.0, chance=chance) if frail else Browser(*where)
        return kind(user.username, browser, str(campaign.public_id), chance)

    def _reader_like(self, person: Labeler) -> Reader:
        """The same person with the pages before them; the task they hold is the first that they work on later."""
        return Reader(person.name, person.browser, person.campaign, random.Random(0))


def row(work: Work, times: Times, sound: Soundness) -> dict[str, Any]:
    """What is promised to machines, but for what only the machine's counters know."""
    waits = {"next": times.next_ms, "submit": times.submit_ms}
    return {
        "tasks": work.tasks,
        "labelers": work.labelers,
        "cycles_per_second": round(times.cycles_per_second, 2),
        **{
            f"{what}_p{percent}_ms": _rounded(percentile(values, percent))
            for what, values in waits.items()
            for percent in (50, 95)
        },
        "duplicates": sound.duplicates,
        "over_collected": sound.over_collected,
        "lost": sound.lost,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _per_cycle(seconds: float, times: Times) -> float | None:
    """Milliseconds."""
    return round(1000 * seconds / len(times.submit_ms), 2) if times.submit_ms else None


async def _sign_in(people: Sequence[Labeler]) -> None:
    await asyncio.gather(*(person.sign_in(labelling_data.PASSWORD) for person in people))


def _close(people: Sequence[Labeler]) -> None:
    for person in people:
        person.browser.close()
