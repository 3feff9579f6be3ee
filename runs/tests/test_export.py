"""A run's metrics as files: the same numbers, read back by the formats' own libraries."""

from __future__ import annotations

import csv
import io
import json

import pyarrow.parquet as pq
import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from runs.events import EventBatch
from runs.models import Run
from runs.services import claim_run, record_events
from runs.tests.conftest import StartRun
from tests.cast import Cast

STEPS = {1: {"reward_mean": 0.1 + 0.2, "loss": 3.0}, 2: {"reward_mean": 1e-9}, 10: {"loss": -2.5}}


@pytest.fixture
def run(start_run: StartRun) -> Run:
    run = start_run()
    claim_run(run_id=run.pk, worker="w")
    told: dict[tuple[int, str], float | None] = {
        (step, name): value for step, values in STEPS.items() for name, value in values.items()
    }
    record_events(run_id=run.pk, attempt=1, batch=EventBatch(metrics=told))
    return run


def fetch(user: User, run: Run, form: str) -> bytes:
    client = Client()
    client.force_login(user)
    response = client.get(reverse(f"runs:run-metrics-{form}", args=[run.public_id]))
    assert response.status_code == 200
    assert response["Content-Disposition"].endswith(f'-{str(run.public_id)[:8]}.{form}"')
    return response.content


def test_csv_has_a_row_per_step_and_an_empty_cell_where_nothing_was_measured(run: Run, cast: Cast) -> None:
    rows = list(csv.DictReader(io.StringIO(fetch(cast.researcher, run, "csv").decode())))

    assert [int(row["step"]) for row in rows] == [1, 2, 10]
    read = {int(row.pop("step")): {name: float(cell) for name, cell in row.items() if cell} for row in rows}
    assert read == STEPS


def test_parquet_has_nulls_and_says_what_the_run_was(run: Run, cast: Cast) -> None:
    table = pq.read_table(io.BytesIO(fetch(cast.manager, run, "parquet")))

    assert {field.name: str(field.type) for field in table.schema} == {
        "step": "int64", "reward_mean": "double", "loss": "double",
    }  # fmt: skip
    read = {
        row.pop("step"): {name: value for name, value in row.items() if value is not None} for row in table.to_pylist()
    }
    assert read == STEPS
    origin = json.loads(table.schema.metadata[b"plumbline"])
    assert (origin["run"], origin["seed"], origin["config"]) == (str(run.public_id), run.seed, run.config)


def test_a_run_without_metrics_is_a_table_without_rows(start_run: StartRun, cast: Cast) -> None:
    empty = start_run()

    assert fetch(cast.researcher, empty, "csv") == b"step\n"
    assert pq.read_table(io.BytesIO(fetch(cast.researcher, empty, "parquet"))).num_rows == 0
