"""Ids in, one call."""

from __future__ import annotations

import os
import socket

from celery import shared_task

from runs import launcher, services


@shared_task(name="runs.tasks.execute_run")
def execute_run(run_id: int) -> None:
    launcher.execute(run_id=run_id, worker=f"{socket.gethostname()}:{os.getpid()}")


@shared_task(name="runs.tasks.recover_runs")
def recover_runs() -> None:
    services.recover_runs()
