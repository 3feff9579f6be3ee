"""Time in interleaved rounds, extra memory, and whether the same call gives the same bits.

Extra memory is the peak above what inputs and outputs hold:

- CUDA: `max_memory_allocated` during a warm run, less what was allocated before it and the outputs' size.
- CPU: a fresh process a row (`benchmarks/memory.py`); the peak of the resident set during its first run at full size,
  less the resident set with the inputs made and the outputs' size. A tiny run comes first, so that libraries and thread
  pools are not counted. What torch.compile's compiler takes for the new size is.
"""

from __future__ import annotations

import ctypes
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.candidates import Candidate, Group, Run, gpu_ops_path
from benchmarks.cpu import busy_seconds
from benchmarks.problem import Outcome, Problem, Size, make_problem

MIB = 2**20
MEMORY_TIMEOUT_SECONDS = 600


class Plan(NamedTuple):
    device: str  # whose clock is read
    rounds: int
    warm_up: int  # rounds discarded; first touches of memory are slow
    budget_seconds: float  # a row that has taken this long sits out the remaining rounds


class Timing(NamedTuple):
    ms: float  # median
    cpu_seconds: float  # median of user and system time, all threads
    rounds: int


class Sample(NamedTuple):
    seconds: float
    cpu_seconds: float


def interleave(runs: Sequence[tuple[Run, str]], plan: Plan) -> list[Timing]:
    """Each round runs everything once; the next begins one further on and goes the other way round.

    So no row always follows the same one, whose memory or caches it would inherit. runs: (run, GPU_OPS).
    """
    kept: list[list[Sample]] = [[] for _ in runs]
    spent = [0.0] * len(runs)
    for number in range(-plan.warm_up, plan.rounds):
        for turn in range(len(runs)):
            which = (number + (turn if number % 2 else -turn)) % len(runs)
            if spent[which] > plan.budget_seconds and kept[which]:
                continue
            if number < 0 and spent[which] > plan.budget_seconds / 4:
                continue
            sample = _sample(*runs[which], plan.device)
            spent[which] += sample.seconds
            if number >= 0:
                kept[which].append(sample)
    return [
        Timing(
            1000 * statistics.median(sample.seconds for sample in samples),
            statistics.median(sample.cpu_seconds for sample in samples),
            len(samples),
        )
        for samples in kept
    ]


def _sample(run: Run, path: str, device: str) -> Sample:
    with gpu_ops_path(path):
        gc.collect()
        return _on_device(run) if device == "cuda" else _on_host(run)


def _on_host(run: Run) -> Sample:
    cpu, start = time.process_time(), time.perf_counter()
    outcome = run()
    sample = Sample(time.perf_counter() - start, time.process_time() - cpu)
    del outcome  # after the clock was read
    return sample


def _on_device(run: Run) -> Sample:
    first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    cpu = time.process_time()
    first.record()
    outcome = run()
    last.record()
    torch.cuda.synchronize()
    sample = Sample(first.elapsed_time(last) / 1000, time.process_time() - cpu)
    del outcome
    return sample


class Company:
    """How many cores other processes (and, on a virtual machine, its host) kept busy since this was made."""

    def __init__(self) -> None:
        self.began, self.own, self.all = time.monotonic(), time.process_time(), busy_seconds()

    def cores(self) -> float:
        own = time.process_time() - self.own
        return max(busy_seconds() - self.all - own, 0) / max(time.monotonic() - self.began, 1e-3)


def keep_freed_memory() -> bool:
    """Ask glibc never to return memory to the system, so that no row pays for first touches again; False elsewhere."""
    trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of malloc.h
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    return bool(mallopt(mmap_max, 0) and mallopt(trim_threshold, 2**31 - 1))


def same_bits(first: Outcome, second: Outcome) -> bool | None:
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    return all(torch.equal(a, b) for a, b in pairs) if pairs else None


def graph_breaks(candidate: Candidate, device: str, dtype: torch.dtype) -> int | None:
    """Of the forward pass under torch.compile; None where it cannot be traced at all."""
    if candidate.forward is None:
        return None
    torch.compiler.reset()
    try:
        with gpu_ops_path(candidate.path):
            found = torch._dynamo.explain(candidate.forward)(make_problem(Size(64, 64, 256), device, dtype))
    except Exception:  # whatever a peer's kernel or the compiler says to a small size
        return None
    return found.graph_break_count if found.graph_count else None


def device_extra_mib(run: Run) -> float:
    """CUDA only."""
    gc.collect()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    outcome = run()
    torch.cuda.synchronize()
    return max(torch.cuda.max_memory_allocated() - before - outcome.num_bytes(), 0) / MIB


def process_extra_mib(group: Group, candidate: Candidate, size: Size, dtype: str) -> float | None:
    """CPU only: asks a fresh process; None where that fails."""
    command = [sys.executable, "-m", "benchmarks.memory", group.op, group.direction, candidate.impl, str(size), dtype]
    root = Path(__file__).resolve().parent.parent
    try:
        done = subprocess.run(
            command, cwd=root, capture_output=True, text=True, timeout=MEMORY_TIMEOUT_SECONDS, check=True
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None
    return float(json.loads(done.stdout.splitlines()[-1]))


def resident_extra_mib(bind: Callable[[Problem], Run], problem: Problem, tiny: Problem) -> float:
    """In this process, which must be fresh."""
    bind(tiny)()
    run = bind(problem)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    before = _resident_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    outcome = run()
    return max(_resident_bytes("VmHWM") - before - outcome.num_bytes(), 0) / MIB


def _resident_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")
