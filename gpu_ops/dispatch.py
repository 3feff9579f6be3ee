"""Which implementation answers: the reference, chunked PyTorch, C++ on the CPU, or Triton on a GPU."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
import os
from typing import NamedTuple, cast

import torch

from gpu_ops import cpp
from gpu_ops.rows import RowKernels

logger = logging.getLogger("gpu_ops")

VARIABLE = "GPU_OPS"
PATHS = ("reference", "torch", "cpp", "triton")


class Path(NamedTuple):
    """The chosen path and why; `str(path)` is the sentence that is logged."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"gpu_ops: {self.name} path ({self.reason})"


def path(device: torch.device | str = "cpu") -> Path:
    """The path that the next call on a device takes. Reads GPU_OPS each time, so a test or a benchmark may switch.

    Raises:
        ValueError: GPU_OPS names no path, or one that cannot run there.
    """
    return _choose(os.environ.get(VARIABLE, ""), torch.device(device).type)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def is_reference(device: str) -> bool:
    """Asked while compiling as well, where the environment cannot be read otherwise."""
    return path(device).name == "reference"


def row_kernels(device: torch.device, dtype: torch.dtype) -> RowKernels:
    """The kernels for logits of this dtype; float64, for checks, always takes PyTorch's."""
    name = "torch" if dtype == torch.float64 else path(device).name
    return cast(RowKernels, importlib.import_module(f"gpu_ops.rows.{name}_rows"))


@functools.cache
def _choose(wanted: str, device: str) -> Path:
    """Cached, so each choice is logged once a process."""
    if wanted and wanted not in PATHS:
        raise ValueError(f"{VARIABLE} ({wanted!r}) must be one of {', '.join(PATHS)}, or unset")
    obstacle = {"cpp": _no_cpp, "triton": _no_triton}
    if wanted in obstacle and (reason := obstacle[wanted](device)):
        raise ValueError(f"{VARIABLE}={wanted} cannot run on {device}: {reason}")
    chosen = Path(wanted, f"{VARIABLE}={wanted}") if wanted else _default(device)
    logger.info("%s", chosen)
    return chosen


def _default(device: str) -> Path:
    if device == "cpu":
        reason = _no_cpp(device)
        return Path("torch", reason) if reason else Path("cpp", f"default on the CPU, {cpp.load().detail} instructions")
    reason = _no_triton(device)
    return Path("torch", reason) if reason else Path("triton", f"default on {device}")


def _no_cpp(device: str) -> str | None:
    if device != "cpu":
        return "the C++ kernels run on the CPU"
    found = cpp.load()
    return None if found.usable else found.detail


def _no_triton(device: str) -> str | None:
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    if device == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
        return "triton needs a GPU, or TRITON_INTERPRET=1 for its interpreter"
    return None
