"""What this process has used so far."""

from __future__ import annotations

import resource


def cpu_seconds() -> float:
    """User and system time of all threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_rss_mib() -> float:
    """The greatest resident memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
