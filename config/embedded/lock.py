"""One supervisor per directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from config.embedded.errors import EmbeddedError


@contextlib.contextmanager
def held(root: Path) -> Iterator[None]:
    """Hold `root`/lock; the kernel lets go of it when this process ends, however it ends.

    Raises:
        EmbeddedError: another process holds it.
    """
    descriptor = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
            raise EmbeddedError(
                f"Plumbline is already running here (process {holder}); use that one, or end it with Ctrl-C first.",
                code="already_running",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
