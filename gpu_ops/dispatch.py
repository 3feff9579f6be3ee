"""Which implementation answers: the float64-checkable reference, or the chunked torch path."""

from __future__ import annotations

import functools
import logging
import os
from typing import NamedTuple

logger = logging.getLogger("gpu_ops")

VARIABLE = "GPU_OPS"
PATHS = ("reference", "torch")


class Path(NamedTuple):
    """The chosen path and why; `str(path)` is the sentence that is logged."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"gpu_ops: {self.name} path ({self.reason})"


def path() -> Path:
    """The path that the next call takes. Reads GPU_OPS each time, so a test or a benchmark may switch.

    Raises:
        ValueError: GPU_OPS names no path.
    """
    return _choose(os.environ.get(VARIABLE, ""))


@functools.cache
def _choose(wanted: str) -> Path:
    """Cached, so each choice is logged once a process."""
    if wanted and wanted not in PATHS:
        raise ValueError(f"{VARIABLE} ({wanted!r}) must be one of {', '.join(PATHS)}, or unset")
    chosen = Path(wanted, f"{VARIABLE}={wanted}") if wanted else Path("torch", "default: chunked, runs everywhere")
    logger.info("%s", chosen)
    return chosen
