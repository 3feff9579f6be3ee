"""Which processor this is, and what processes have used of it."""

from __future__ import annotations

import platform
import time
from pathlib import Path

import psutil

BUSY_CORES = 0.1
"""Of other processes: with more of them at work no time is to be trusted."""


def cpu_model() -> str:
    """As the system names it, with the family and model that tell virtual ones apart."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    found: dict[str, str] = {}
    for line in lines:
        field, _, value = line.partition(":")
        found.setdefault(field.strip(), value.strip())  # the first processor's
    name = found.get("model name", platform.processor())
    return f"{name} (family {found['cpu family']}, model {found['model']})" if "cpu family" in found else name


def tree_cpu_seconds(pid: int) -> float:
    """User and system time of a process and all below it, those that have ended included."""
    root = psutil.Process(pid)
    spent = 0.0
    for process in [root, *root.children(recursive=True)]:
        try:
            spent += sum(process.cpu_times()[:4])  # own and waited-for children's, user and system
        except psutil.NoSuchProcess:
            continue
    return spent


class Trees:
    """What named process trees, and everybody, used since this was made."""

    def __init__(self, pids: dict[str, int]) -> None:
        self.pids, self.began = pids, time.monotonic()
        self.before = {name: tree_cpu_seconds(pid) for name, pid in pids.items()}
        self.busy = busy_seconds()

    def seconds(self) -> dict[str, float]:
        """CPU-seconds of each tree."""
        return {name: tree_cpu_seconds(pid) - self.before[name] for name, pid in self.pids.items()}

    def cores_elsewhere(self, own_seconds: float) -> float:
        """Cores that processes outside the trees kept busy; `own_seconds` are this process's."""
        known = sum(self.seconds().values()) + own_seconds
        return max(busy_seconds() - self.busy - known, 0.0) / (time.monotonic() - self.began)


def busy_seconds() -> float:
    """Of all cores since boot, the host's share of a virtual machine included."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq + getattr(times, "steal", 0.0))
