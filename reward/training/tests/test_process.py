"""What a training process asks of the operating system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

BACKWARD = """
import ctypes, sys
from reward.training.process import return_large_blocks

def held():
    with open("/proc/self/statm") as pages:
        return int(pages.read().split()[1]) * 4096 / 2**20

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]

def block(num_bytes):
    place = libc.malloc(num_bytes)
    ctypes.memset(place, 1, num_bytes)
    return place

if sys.argv[1] == "asked":
    return_large_blocks()
libc.free(block(2**24))  # what raises glibc's own threshold
before = held()
kept = [(block(3 * 2**19), block(2**16)) for _ in range(100)]
for large, _small in kept:
    libc.free(large)
print(held() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's setting")
@pytest.mark.parametrize(("asked", "low", "high"), [("asked", 0, 40), ("not", 100, 200)])
def test_freed_tensors_go_back_to_the_system(asked: str, low: float, high: float) -> None:
    """100 blocks of 1.5 MiB between small ones that stay."""
    told = subprocess.run([sys.executable, "-c", BACKWARD, asked], capture_output=True, text=True, check=True)

    assert low < float(told.stdout) < high
