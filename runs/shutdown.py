"""Whether this worker was asked to stop, so that it can stop the process it follows."""

from __future__ import annotations

import threading
from typing import Any

from celery.signals import worker_shutting_down

_requested = threading.Event()


@worker_shutting_down.connect
def _on_shutdown(**_details: Any) -> None:
    _requested.set()


def is_requested() -> bool:
    return _requested.is_set()
