"""The one door to Celery: services name a task, and it is sent once their transaction has committed."""

from __future__ import annotations

from celery import current_app
from django.db import transaction


def enqueue(task: str, *args: int | str | None, queue: str = "default", countdown: float = 0.0) -> None:
    """Send a task by name after commit. A message is only a nudge: losing one loses nothing that the database knows."""

    # A function, not a partial: Django logs a robust callback that fails by its __qualname__.
    def send() -> None:
        current_app.send_task(task, args=args, queue=queue, countdown=countdown)

    transaction.on_commit(send, robust=True)
