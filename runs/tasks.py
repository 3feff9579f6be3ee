"""Ids in, one call."""

from __future__ import annotations

import os
import socket
from typing import Any

from celery import shared_task
from celery.signals import worker_ready

from runs import launcher, probe, services
from runs.kinds import DEFAULT_QUEUE


@shared_task(name="runs.tasks.execute_run")
def execute_run(run_id: int) -> None:
    launcher.execute(run_id=run_id, worker=f"{socket.gethostname()}:{os.getpid()}")


@shared_task(name="runs.tasks.recover_runs")
def recover_runs() -> None:
    services.recover_runs()


@worker_ready.connect
def measure_machine(sender: Any, **_details: Any) -> None:
    if DEFAULT_QUEUE in sender.app.amqp.queues.consume_from:
        probe.start()
