"""What a training process asks of the operating system."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
M_MMAP_THRESHOLD = -3
LARGE_BLOCK_BYTES = 2**20
"""From here on a block of memory is mapped by itself. Half of it costs PPO on SmolLM2's shape a third more time."""


def die_with_parent() -> None:
    """Ask the kernel for SIGKILL when the launcher dies, so that no trainer outlives its worker (Linux only)."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def return_large_blocks() -> None:
    """Have large tensors go back to the system when they are freed, not to a heap that others cannot use (glibc only).

    glibc raises its threshold with each large block that is freed, up to 32 MiB: a backward pass then frees activations
    of a MiB or two into the heap, where its gradients find no room.
    """
    if sys.platform.startswith("linux"):
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)
