"""Looking at real processes: what runs in or for a directory, and waiting for that to change."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from config.embedded.layout import Layout


def processes_of(directory: Path) -> list[str]:
    """Command lines of all processes but this one that work in `directory` or below, or name it."""
    return list(commands_by_pid(directory).values())


def commands_by_pid(directory: Path) -> dict[int, str]:
    """The same, by process id."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            working_directory = str((entry / "cwd").readlink())
        except OSError:
            continue
        if str(directory) in command or working_directory.startswith(str(directory)):
            found[int(entry.name)] = command
    return found


def eventually(condition: Callable[[], bool], *, seconds: float = 20.0) -> bool:
    """Whether `condition` comes true within `seconds`."""
    deadline = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return met


def layout_of(var: Path) -> Layout:
    """Where a site with this var directory keeps its services."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLUMBLINE_VAR", str(var))
        return Layout.default()
