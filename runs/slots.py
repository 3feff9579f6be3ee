"""One run per device slot of a machine, whatever the number of workers."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from django.conf import settings

RETRY_SECONDS = 1.0


@contextlib.contextmanager
def device_slot(*, is_wanted: Callable[[], bool]) -> Iterator[bool]:
    """Hold RUNS_DIR/slot-0.lock for the block, waiting while another worker of this machine holds it.

    Yields False, without the lock, once `is_wanted` says that there is nothing to wait for any more.
    """
    folder = Path(settings.RUNS_DIR)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(folder / "slot-0.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while not (is_mine := _try_lock(lock)) and is_wanted():
            time.sleep(RETRY_SECONDS)
        yield is_mine
    finally:
        os.close(lock)


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
