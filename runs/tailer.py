"""Follows events.jsonl by byte offset while a process writes it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from runs.events import EventBatch

CHUNK_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Chunk:
    """Events read but not yet stored; `end` is where the next read begins once they are."""

    batch: EventBatch
    end: int
    restarted: bool


class Tailer:
    """Reads whole lines only: the rest of a line that is being written waits for the next read.

    A file that was there before the process started belongs to an earlier attempt. The process replaces it, cut back to
    the checkpoint it resumes from, so until then it is not read; `is_over` says that no replacement will come.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._old_inode = path.stat().st_ino if path.exists() else None

    def read(self, *, is_over: bool = False) -> Chunk | None:
        """The next events, or None when there are none. Read again without `advance`, they come again."""
        try:
            with self._path.open("rb") as handle:
                if os.fstat(handle.fileno()).st_ino == self._old_inode and not is_over:
                    return None
                self._old_inode = None
                handle.seek(self._offset)
                data = handle.read(CHUNK_BYTES)
        except FileNotFoundError:
            return None
        whole = data.rfind(b"\n") + 1
        if not whole and len(data) == CHUNK_BYTES:
            whole = len(data)  # no event is that long: pass over it piece by piece
        if not whole:
            return None
        batch = EventBatch()
        for line in data[:whole].splitlines():
            batch.add(line)
        return Chunk(batch, self._offset + whole, restarted=self._offset == 0)

    def advance(self, chunk: Chunk) -> None:
        self._offset = chunk.end
