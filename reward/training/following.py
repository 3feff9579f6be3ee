"""A run directory as further processes of a run see it: they read what the first one reads and write nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from reward.training import checkpoints
from reward.training.rundir import RunDirectory, Stopped, read_spec


class FollowingRun(RunDirectory):
    """Made when the first process has opened the directory, and so removed what does not verify."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stopping = False
        self.spec = read_spec(path)
        self._checkpoint, _rejected = checkpoints.newest_valid(path / "checkpoints")

    def close(self) -> None:
        """Nothing is held."""

    def cancelled(self) -> bool:
        """The first process reads the control file and tells. Raises Stopped."""
        if self.stopping:
            raise Stopped
        return False

    def progress(self, phase: str, done: int, total: int, unit: str) -> None:
        """Told by the first process."""

    def save_checkpoint(self, step: int, write: Callable[[Path], None], *, kept: int = checkpoints.KEPT) -> None:
        """Written by the first process."""

    def _event(self, **event: Any) -> None:
        """Told by the first process."""
