"""Peak memory of the whole site while a turn runs."""

from __future__ import annotations

import threading

import psutil

EVERY_SECONDS = 2.0


class MemoryWatch:
    """Samples the proportional set size of a process and all its descendants; pages they share count once."""

    def __init__(self, pid: int) -> None:
        self.peak_mib = 0.0
        self._root = psutil.Process(pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory-watch", daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(EVERY_SECONDS):
            self.peak_mib = max(self.peak_mib, self._now_mib())

    def _now_mib(self) -> float:
        total = 0.0
        try:
            family = [psutil.Process(), self._root, *self._root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return total
        for process in family:
            try:
                total += process.memory_full_info().pss
            except psutil.NoSuchProcess:
                continue
            except psutil.AccessDenied:
                total += process.memory_info().rss
        return total / 2**20
