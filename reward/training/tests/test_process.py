"""What a training process asks of the operating system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

STEPS = """
import ctypes, resource, sys
from reward.training.process import keep_freed_memory

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]

def step():
    places = [libc.malloc(3 * 2**19) for _ in range(40)]
    for place in places:
        ctypes.memset(place, 1, 3 * 2**19)
    for place in places:
        libc.free(place)

if sys.argv[1] == "asked":
    keep_freed_memory()
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's setting")
@pytest.mark.parametrize(("asked", "low", "high"), [("asked", -1, 1000), ("not", 10_000, 100_000)])
def test_a_steps_memory_serves_the_next_step(asked: str, low: int, high: int) -> None:
    """Pages that the kernel hands out anew in five steps of 60 MiB, which are 15,360 pages each."""
    told = subprocess.run([sys.executable, "-c", STEPS, asked], capture_output=True, text=True, check=True)

    assert low < int(told.stdout) < high
