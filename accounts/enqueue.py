"""The one door to Celery: services name a task, and it is sent once their transaction has committed."""

from __future__ import annotations

import logging

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)


def enqueue(task: str, *args: int | str | None, queue: str = "default", countdown: float = 0.0) -> None:
    """Send a task by name after commit. A message is only a nudge: losing one loses nothing that the database knows."""

    # A function, not a partial: Django logs a robust callback that fails by its __qualname__.
    def send() -> None:
        try:
            current_app.send_task(task, args=args, queue=queue, countdown=countdown)
        except OperationalError as error:
            logger.error("The broker is away, so %s%r was not sent to %s: %s", task, args, queue, error)

    transaction.on_commit(send, robust=True)
