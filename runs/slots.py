"""One run per device slot of a machine, whatever the number of workers."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings


@contextlib.contextmanager
def device_slot() -> Iterator[bool]:
    """Hold RUNS_DIR/slot-0.lock while a run is carried out. False: another worker of this machine holds it."""
    folder = Path(settings.RUNS_DIR)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(folder / "slot-0.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(lock)
