"""What workers tell of their machines: measured beside them, kept for each host, forgotten once it is gone."""

from __future__ import annotations

import logging
import socket
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from runs import probe
from runs.kinds import DEFAULT_QUEUE
from runs.models import Machine
from runs.queries import machines_of
from runs.services import claim_run, tell_machine
from runs.slots import device_slot
from runs.tasks import measure_machine
from runs.tests.conftest import StartRun
from tests.workers import workers

STUB = "runs.tests.probe_stub"
FACTS: dict[str, Any] = {
    "device": "cpu", "name": "EPYC", "cores": 2, "threads": 2, "memory_bytes": 2**34, "swap_bytes": 0,
    "has_bfloat16": False, "speeds": {},
}  # fmt: skip


class Consumer:
    """As a worker's `worker_ready` signal sends it."""

    def __init__(self, *queues: str) -> None:
        self.app = self
        self.amqp = self
        self.queues = self
        self.consume_from = dict.fromkeys(queues)


@pytest.fixture(autouse=True)
def _folder() -> None:
    Path(settings.RUNS_DIR).mkdir(parents=True, exist_ok=True)


def measure_now(monkeypatch: pytest.MonkeyPatch, module: str = STUB) -> None:
    """The thread's work, in this thread: another has a database connection of its own."""
    monkeypatch.setattr(settings, "RUN_PROBE", module)
    probe.measure_and_tell()


@pytest.mark.django_db
def test_a_process_of_its_own_measures_without_the_sites_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "RUN_PROBE", STUB)
    monkeypatch.setattr(settings, "RUN_THREADS", 5)
    monkeypatch.setenv("SECRET_KEY", "x")

    told = probe.measure()

    assert (told["threads"], told["device"], told["secrets"]) == (5, settings.RUN_DEVICE, [])


@pytest.mark.django_db(transaction=True)
def test_what_is_measured_takes_the_place_of_what_was_told_before(monkeypatch: pytest.MonkeyPatch) -> None:
    tell_machine(host=socket.gethostname(), queue="gpu", facts=FACTS)
    tell_machine(host="elsewhere", queue="gpu", facts=FACTS)

    measure_now(monkeypatch)

    here = Machine.objects.get(host=socket.gethostname())
    assert (here.cores, here.memory_bytes, here.has_bfloat16, here.name) == (3, 2**33, True, "X")
    assert Machine.objects.count() == 2


@pytest.mark.django_db
def test_speeds_stay_where_none_are_measured_anew() -> None:
    first = tell_machine(host="box", queue="gpu", facts={**FACTS, "speeds": {"float32": [1]}})
    again = {name: value for name, value in FACTS.items() if name not in ("speeds", "has_bfloat16")}

    told = tell_machine(host="box", queue="gpu", facts={**again, "memory_bytes": 5})

    assert (told.memory_bytes, told.speeds, told.measured_at) == (5, {"float32": [1]}, first.measured_at)
    assert told.seen_at > first.seen_at
    assert tell_machine(host="box", queue="gpu", facts=FACTS).measured_at > first.measured_at


@pytest.mark.django_db(transaction=True)
def test_the_program_is_told_what_speeds_are_known_of(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def measure(*, known: object) -> dict[str, Any]:
        asked.append(known)
        return {**FACTS, "speeds": {"float32": [1]}}

    monkeypatch.setattr(probe, "measure", measure)

    probe.measure_and_tell()
    probe.measure_and_tell()

    assert asked == [None, ["cpu", "EPYC", 2, 2]]


@pytest.mark.django_db(transaction=True)
def test_a_machine_that_cannot_be_measured_is_not_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="runs.probe"):
        measure_now(monkeypatch, "runs.tests.no_such_module")

    assert "could not be measured" in caplog.text
    assert "No module named runs.tests.no_such_module" in caplog.text
    assert not Machine.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_nothing_is_measured_beside_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe.shutdown, "is_requested", lambda: True)

    with device_slot(is_wanted=lambda: True):
        measure_now(monkeypatch)

    assert not Machine.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_real_worker_tells_of_its_machine_when_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUN_PROBE", STUB)

    with workers(tmp_path, DEFAULT_QUEUE):
        deadline = time.monotonic() + 60
        while not Machine.objects.exists() and time.monotonic() < deadline:
            time.sleep(0.2)

    assert [machine.host for machine in Machine.objects.all()] == [socket.gethostname()]


def test_only_workers_that_train_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    monkeypatch.setattr(probe, "start", lambda: started.append("x"))

    for queues in (("default",), ("default", "gpu"), ("gpu",)):
        measure_machine(sender=Consumer(*queues))

    assert len(started) == 2


@pytest.mark.django_db
def test_machines_come_by_memory_and_are_forgotten_once_unseen() -> None:
    for host, memory, days in (("large", 4, 1), ("small", 1, 29), ("gone", 2, 31)):
        seen = timezone.now() - timedelta(days=days)
        tell_machine(host=host, queue="gpu", facts={**FACTS, "memory_bytes": memory})
        Machine.objects.filter(host=host).update(seen_at=seen)
    tell_machine(host="other", queue="cpu", facts=FACTS)

    assert [machine.host for machine in machines_of("gpu")] == ["small", "large"]


def test_a_worker_that_takes_a_run_is_still_there(start_run: StartRun) -> None:
    long_ago = timezone.now() - timedelta(days=31)
    for host in ("box", "box2"):
        tell_machine(host=host, queue="gpu", facts=FACTS)
    Machine.objects.update(seen_at=long_ago)

    claim_run(run_id=start_run().pk, worker="box:17")

    assert [machine.host for machine in machines_of("gpu")] == ["box"]
