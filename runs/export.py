"""A run's metrics as one table, a row per step and a column per metric: CSV for spreadsheets, Parquet for the rest.

Of several runs, whose steps and metrics differ, a row per value. TensorBoard gets an event file.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from runs import queries
from runs.event_file import EventFile
from runs.metric_help import in_reading_order
from runs.models import Run

Columns = dict[str, list[int] | list[float | None]]


def as_csv(run: Run) -> bytes:
    """UTF-8 with a header; a metric that a step does not have is an empty cell. Numbers are written to be read back."""
    columns = _columns(run)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(
        ["" if cell is None else repr(cell) for cell in row] for row in zip(*columns.values(), strict=True)
    )
    return text.getvalue().encode()


def as_long_csv(runs: Sequence[Run]) -> bytes:
    """`run,step,metric,value`, the runs in the order given."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", "step", "metric", "value"])
    for run in runs:
        told = run.metrics.filter(value__isnull=False).order_by("step", "name")
        writer.writerows(
            [run.public_id, step, name, repr(value)] for step, name, value in told.values_list("step", "name", "value")
        )
    return text.getvalue().encode()


def as_parquet(run: Run) -> bytes:
    """`step` is int64, metrics are float64 with nulls; what the run was stands in the schema's metadata as JSON."""
    columns = _columns(run)
    schema = pa.schema(
        [(name, pa.int64() if name == "step" else pa.float64()) for name in columns],
        metadata={"plumbline": json.dumps(_origin(run))},
    )
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns, schema=schema), sink)
    return bytes(sink.getvalue())


def as_tensorboard(run: Run) -> bytes:
    """An event file: a scalar a metric, and as text what the run was, as JSON. Steps have the times they were told at;
    where this machine does not know them, the run's beginning."""
    began, times = (run.started_at or run.created_at).timestamp(), queries.step_times(run)
    told = json.dumps(_origin(run), indent=1, ensure_ascii=False)
    sink = io.BytesIO()
    file = EventFile(sink)
    # Indented by four it is code in Markdown, whatever it holds.
    file.add_text("settings", "\n".join(f"    {line}" for line in told.splitlines()), wall_time=began)
    rows = run.metrics.order_by("step", "name").values_list("step", "name", "value")
    for step, values in groupby(rows, key=itemgetter(0)):
        file.add_scalars(step, {name: value for _step, name, value in values}, wall_time=times.get(step, began))
    return sink.getvalue()


def _origin(run: Run) -> dict[str, Any]:
    return {
        "run": str(run.public_id), "kind": run.kind, "title": run.title, "seed": run.seed, "config": run.config,
        "code_version": run.code_version, "inputs": run.inputs,
    }  # fmt: skip


def _columns(run: Run) -> Columns:
    found = queries.metric_series(run)
    return {name: found[name] for name in ["step", *in_reading_order([name for name in found if name != "step"])]}
