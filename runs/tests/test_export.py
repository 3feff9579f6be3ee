"""A run's metrics as files: the same numbers, read back by the formats' own libraries."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from django.test import Client
from django.urls import reverse
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from accounts.models import User
from runs.directory import WorkerRunDirectory
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
    ending = "" if form == "tensorboard" else f".{form}"
    assert response["Content-Disposition"].endswith(f'-{str(run.public_id)[:8]}{ending}"')
    return response.content


def scalars(found: EventAccumulator) -> dict[str, list[tuple[int, float, float]]]:
    return {
        tag: [(one.step, one.value, one.wall_time) for one in found.Scalars(tag)] for tag in found.Tags()["scalars"]
    }


def read_events(content: bytes, folder: Path) -> EventAccumulator:
    (folder / "events.out.tfevents.1").write_bytes(content)
    return EventAccumulator(str(folder)).Reload()


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


def test_a_run_without_metrics_is_a_table_without_rows(start_run: StartRun, cast: Cast, tmp_path: Path) -> None:
    empty = start_run()

    assert fetch(cast.researcher, empty, "csv") == b"step\n"
    assert pq.read_table(io.BytesIO(fetch(cast.researcher, empty, "parquet"))).num_rows == 0
    assert scalars(read_events(fetch(cast.researcher, empty, "tensorboard"), tmp_path)) == {}


def test_tensorboard_reads_each_metric_with_the_times_that_are_known(run: Run, cast: Cast, tmp_path: Path) -> None:
    directory = WorkerRunDirectory(run)
    directory.make()
    told = {"type": "metrics", "step": 2, "metrics": {"reward_mean": 1e-9}, "time": 1_700_000_000.25}
    directory.events.write_text(json.dumps(told) + "\n")
    run.refresh_from_db()
    assert run.started_at is not None
    began = run.started_at.timestamp()

    found = scalars(read_events(fetch(cast.manager, run, "tensorboard"), tmp_path))

    assert found == {
        "reward_mean": [(1, pytest.approx(0.3), began), (2, pytest.approx(1e-9), 1_700_000_000.25)],
        "loss": [(1, 3.0, began), (10, -2.5, began)],
    }


def test_tensorboard_shows_what_the_run_was_as_text(run: Run, cast: Cast, tmp_path: Path) -> None:
    Run.objects.filter(pk=run.pk).update(title="```\n<script>alert(1)</script>", seed=11)

    found = read_events(fetch(cast.researcher, run, "tensorboard"), tmp_path)

    (text,) = found.Tensors("settings")
    lines = text.tensor_proto.string_val[0].decode().splitlines()
    assert all(line.startswith("    ") for line in lines), "all of it is code, nothing is Markdown"
    told = json.loads("\n".join(lines))
    assert (told["run"], told["seed"], told["config"]) == (str(run.public_id), 11, run.config)


def test_a_changed_byte_is_seen_by_the_reader(run: Run, cast: Cast, tmp_path: Path) -> None:
    content = bytearray(fetch(cast.researcher, run, "tensorboard"))
    content[-6] ^= 1

    assert len(scalars(read_events(bytes(content), tmp_path)).get("loss", [])) < 2
