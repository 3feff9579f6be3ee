"""What pages and API read of runs."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet

from accounts.access import workspaces_of
from accounts.models import User
from runs.directory import WorkerRunDirectory
from runs.logs import tail
from runs.models import Run, RunMetric
from runs.tailer import Tailer

LOG_BYTES = 65_536


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


def log_tail(run: Run, max_bytes: int = LOG_BYTES) -> str:
    """The end of what the run's process printed; empty where this machine does not have it."""
    return tail(WorkerRunDirectory(run).log, max_bytes)
