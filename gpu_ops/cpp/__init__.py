"""The C++ row kernels: loaded where `build.py` has built them."""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch

from gpu_ops.cpp import build


class Library(NamedTuple):
    usable: bool
    detail: str
    """The instruction set that runs (avx512, avx2, portable), or why none can, in a few words."""


@functools.cache
def load() -> Library:
    """Load the library, once a process."""
    path = build.library()
    if not path.exists():
        return Library(False, "no C++ kernels built; `python gpu_ops/cpp/build.py` builds them")
    try:
        torch.ops.load_library(str(path))
    except OSError as error:
        return Library(False, f"the C++ kernels cannot be loaded: {str(error).splitlines()[0]}")
    return Library(True, str(torch.ops.plumbline_cpp.instructions()))
