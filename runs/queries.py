"""What pages and API read of runs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet
from django.utils import timezone

from accounts.access import workspaces_of
from accounts.models import User
from runs.directory import WorkerRunDirectory
from runs.logs import tail
from runs.models import Machine, Run, RunMetric
from runs.states import RunState
from runs.tailer import Tailer

LOG_BYTES = 65_536
MACHINE_DAYS = 30
"""A machine whose worker has neither started nor taken a run for so long is thought to be gone."""
COMPARED_RUNS = 5


class TimeRatio(NamedTuple):
    """value: measured over expected seconds, the median of so many runs; 1 without any."""

    value: float
    num_runs: int


def run_list(user: User | AnonymousUser) -> QuerySet[Run]:
    """Runs of every workspace where the user is staff, the newest first."""
    runs = Run.objects.filter(workspace__in=workspaces_of(user))
    return runs.select_related("workspace", "created_by").order_by("-created_at", "-pk")


def metric_series(run: Run, names: Sequence[str] | None = None) -> dict[str, list[int] | list[float | None]]:
    """`{"step": [...], "<name>": [...]}`: every list as long as `step`; None where a metric has no (finite) value."""
    rows = run.metrics.order_by("step", "name")
    if names is not None:
        rows = rows.filter(name__in=names)
    values = list(rows.values_list("step", "name", "value"))
    steps = sorted({step for step, _name, _value in values})
    position = {step: index for index, step in enumerate(steps)}
    wanted = sorted({name for _step, name, _value in values})
    series: dict[str, list[float | None]] = {name: [None] * len(steps) for name in wanted}
    for step, name, value in values:
        series[name][position[step]] = value
    return {"step": steps, **series}


def last_values(runs: Sequence[Run], names: Sequence[str]) -> dict[tuple[int, str], float]:
    """(run's primary key, name) -> what the run last said of the metric, where it said anything finite."""
    rows = RunMetric.objects.filter(run__in=runs, name__in=names, value__isnull=False)
    latest = rows.order_by("run", "name", "-step").distinct("run", "name")
    return {(row.run_id, row.name): row.value for row in latest if row.value is not None}


def step_times(run: Run) -> dict[int, float]:
    """Step -> when its metrics were told, in seconds since 1970; empty where this machine does not have the events."""
    tailer, times = Tailer(WorkerRunDirectory(run).events), {}
    while (chunk := tailer.read(is_over=True)) is not None:
        times.update(chunk.batch.times)
        tailer.advance(chunk)
    return times


def machines_of(queue: str) -> list[Machine]:
    """Machines whose workers took runs from the queue lately, the one with the least memory first."""
    lately = timezone.now() - timedelta(days=MACHINE_DAYS)
    return list(Machine.objects.filter(queue=queue, seen_at__gte=lately).order_by("memory_bytes", "host"))


def time_ratio(kind: str, machine: Machine) -> TimeRatio:
    """How much longer than expected the last runs of a kind took that succeeded on a machine at the first attempt.

    Only runs since its speeds were measured count: of others something else was expected.
    """
    runs = Run.objects.filter(kind=kind, state=RunState.SUCCEEDED, attempt=1, expected_seconds__gt=0)
    runs = runs.filter(created_at__gte=machine.measured_at)
    ratios = []
    for run in runs.filter(worker__startswith=f"{machine.host}:").order_by("-finished_at")[:COMPARED_RUNS]:
        seconds = (run.outcome or {}).get("seconds")
        # One that ended early says nothing of the steps it left out.
        if seconds and not _ended_early(run):
            ratios.append(seconds / run.expected_seconds)
    return TimeRatio(statistics.median(ratios) if ratios else 1.0, len(ratios))


def _ended_early(run: Run) -> bool:
    planned, done = run.config.get("steps"), ((run.outcome or {}).get("metrics") or {}).get("num_steps")
    return planned is not None and done is not None and done < planned


def log_tail(run: Run, max_bytes: int = LOG_BYTES) -> str:
    """The end of what the run's process printed; empty where this machine does not have it."""
    return tail(WorkerRunDirectory(run).log, max_bytes)
