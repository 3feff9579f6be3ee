"""One run of the benchmark: checks every row, times the rows of a group in turns, and says what had to be left out."""

from __future__ import annotations

import dataclasses
import gc
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from benchmarks import measure, oracle, peers
from benchmarks.candidates import FLOOR, Candidate, Group, Run, gpu_ops_path, groups
from benchmarks.credit import SHAPES, measure_gae
from benchmarks.problem import Objective, Problem, Size, make_problem, with_old_logp
from benchmarks.table import Row


class Scope(NamedTuple):
    """What to measure, and for how long."""

    device: str
    dtype: str
    ops: frozenset[str]
    with_memory: bool
    with_peers: bool
    limit_seconds: float
    """No group of rows begins after this; those left are named."""


class Checked(NamedTuple):
    """A candidate that works, and what the checks before its timing found."""

    candidate: Candidate
    run: Run
    errors: oracle.Errors
    deterministic: bool | None
    graph_breaks: int | None
    extra_mib: float | None


class Benchmark:
    """Collects rows, and hands each group's to `tell` as they come. Progress goes to stderr."""

    def __init__(self, scope: Scope, plan: measure.Plan, tell: Callable[[Benchmark, list[Row]], None]) -> None:
        self.scope, self.plan, self.tell = scope, plan, tell
        self.dtype: torch.dtype = getattr(torch, scope.dtype)
        self.rows: list[Row] = []
        self.left_out: list[str] = []
        self.began = time.monotonic()

    def size(self, size: Size) -> None:
        due = [group for group in groups(self.scope.device) if group.op in self.scope.ops]
        if not due:
            return
        problem = make_problem(size, self.scope.device, self.dtype)
        problem = with_old_logp(problem, oracle.token_values(problem)[0])
        for group in due:
            label = f"{group.op} {group.direction} {size}"
            if self._in_time(label):
                self._group(group, problem, size, label)

    def gae(self) -> None:
        for shape in SHAPES:
            label = f"gae {shape[0]}x{shape[1]}"
            if "gae" in self.scope.ops and self._in_time(label):
                say(f"{label}: timing")
                self._add(measure_gae(shape, self.scope.device, self.plan))

    def _in_time(self, label: str) -> bool:
        if time.monotonic() - self.began <= self.scope.limit_seconds:
            return True
        self.left_out.append(f"{label}: {self.scope.limit_seconds:.0f} seconds were over")
        return False

    def _group(self, group: Group, problem: Problem, size: Size, label: str) -> None:
        truths: dict[Objective, oracle.Truth] = {}
        checked = []
        present = [candidate for candidate in group.candidates if self._is_here(candidate, label)]
        # All of them first: counting resets the compiler, which would throw away what a row has compiled.
        breaks = [measure.graph_breaks(candidate, self.scope.device, self.dtype) for candidate in present]
        for candidate, count in zip(present, breaks, strict=True):
            say(f"{label}: checking {candidate.impl}")
            try:
                checked.append(self._check(group, candidate, problem, size, truths)._replace(graph_breaks=count))
            except Exception as error:  # a peer may fail in any way
                self._leave_out(candidate, label, _first_line(error))
            _empty_cache()
        truths.clear()
        _empty_cache()
        say(f"{label}: timing {len(checked)} rows")
        company = measure.Company()
        timings = measure.interleave([(each.run, each.candidate.path) for each in checked], self.plan)
        rows = self._rows(group, problem, size, checked, timings)
        self._add([dataclasses.replace(row, busy_elsewhere=company.cores()) for row in rows])

    def _is_here(self, candidate: Candidate, label: str) -> bool:
        if candidate.is_peer and not self.scope.with_peers:
            reason: str | None = "peers were not asked for"
        else:
            reason = peers.absence(candidate.module)
        if reason:
            self._leave_out(candidate, label, reason)
        return reason is None

    def _leave_out(self, candidate: Candidate, label: str, reason: str) -> None:
        self.left_out.append(f"{candidate.impl} ({label}): {reason}")
        say(f"left out: {self.left_out[-1]}")

    def _check(
        self, group: Group, candidate: Candidate, problem: Problem, size: Size, truths: dict[Objective, oracle.Truth]
    ) -> Checked:
        run = candidate.bind(problem)
        with gpu_ops_path(candidate.path):
            first = run()
            same = measure.same_bits(first, run())
            errors = oracle.Errors()
            if objective := candidate.objective:
                if objective not in truths:
                    truths[objective] = oracle.truth(problem, objective)
                errors = oracle.errors(first, truths[objective])
            del first
            extra = self._extra_mib(group, candidate, run, size)
        return Checked(candidate, run, errors, same, None, extra)

    def _extra_mib(self, group: Group, candidate: Candidate, run: Run, size: Size) -> float | None:
        if not self.scope.with_memory:
            return None
        if self.scope.device == "cuda":
            return measure.device_extra_mib(run)
        return measure.process_extra_mib(group, candidate, size, self.scope.dtype)

    def _rows(
        self, group: Group, problem: Problem, size: Size, checked: list[Checked], timings: list[measure.Timing]
    ) -> list[Row]:
        by_impl = {each.candidate.impl: timing.ms for each, timing in zip(checked, timings, strict=True)}
        floor = by_impl.get(FLOOR)
        rows = []
        for each, timing in zip(checked, timings, strict=True):
            whole = by_impl.get(each.candidate.saves_over)
            rows.append(
                Row(
                    op=group.op,
                    impl=each.candidate.impl,
                    device=self.scope.device,
                    dtype=self.scope.dtype,
                    T=size.tokens,
                    D=size.hidden,
                    V=size.vocabulary,
                    direction=group.direction,
                    ms=timing.ms,
                    cpu_seconds=timing.cpu_seconds,
                    rounds=timing.rounds,
                    ratio_to_gemm=timing.ms / floor if floor else None,
                    extra_mib=each.extra_mib,
                    **each.errors._asdict(),
                    grad_rel_err=each.errors.grad_rel_err,
                    deterministic=each.deterministic,
                    graph_breaks=each.graph_breaks,
                    time_cut=1 - timing.ms / whole if whole else None,
                    prompt_share=1 - problem.answers.float().mean().item() if whole else None,
                )
            )
        return rows

    def _add(self, rows: list[Row]) -> None:
        self.rows += rows
        self.tell(self, rows)


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _first_line(error: Exception) -> str:
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0] if said else ''}"[:300]


def _empty_cache() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
