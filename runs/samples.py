"""What a run's page shows of its samples: the answers at one step beside those from before training, or the answers to
one prompt over all steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from accounts.word_diff import Piece, word_diff
from runs.metric_help import MetricHelp, in_reading_order, metric_help
from runs.models import Run, RunSample

MAX_ROWS = 40
"""Steps in the list of one prompt's answers; of more, so many from the first to the last."""


class Figure(NamedTuple):
    """A number on an answer, and how far it is from the same number before training."""

    help: MetricHelp
    value: float | None
    change: float | None


@dataclass(frozen=True)
class Shown:
    """An answer as the page shows it; `before` is None for the one from before training."""

    sample: RunSample
    before: RunSample | None

    @cached_property
    def pieces(self) -> tuple[Piece, ...] | None:
        """Word by word against the answer before; None where there is none or they are too long to compare."""
        return word_diff(self.before.text, self.sample.text) if self.before else None

    @property
    def origin(self) -> Shown | None:
        """The answer before, as shown beside this one."""
        return Shown(self.before, None) if self.before else None

    @property
    def is_unchanged(self) -> bool:
        return self.before is not None and self.before.text == self.sample.text

    @property
    def is_too_long(self) -> bool:
        return self.before is not None and self.pieces is None

    @property
    def figures(self) -> list[Figure]:
        values = self.sample.values
        return [Figure(metric_help(name), values[name], self._change(name)) for name in in_reading_order(list(values))]

    def _change(self, name: str) -> float | None:
        before, now = (sample.values.get(name) if sample else None for sample in (self.before, self.sample))
        return None if before is None or now is None else now - before


@dataclass(frozen=True, kw_only=True)
class SamplePage:
    """The rows of one step (`step` is set) or of one prompt (`prompt` is, counted from 1)."""

    steps: list[int]
    rows: list[Shown]
    num_stored: int
    query: str
    """What was chosen, as a query string; empty where the page goes to the newest step by itself."""
    step: int | None = None
    prompt: int | None = None

    @property
    def earlier(self) -> int | None:
        return max((step for step in self.steps if self.step is not None and step < self.step), default=None)

    @property
    def later(self) -> int | None:
        return min((step for step in self.steps if self.step is not None and step > self.step), default=None)


def sample_page(run: Run, asked: Mapping[str, str]) -> SamplePage | None:
    """What `asked["prompt"]` or `asked["step"]` names, else the newest step; None where the run has no samples."""
    keys = list(run.samples.values_list("step", "index"))
    if not keys:
        return None
    steps = sorted({step for step, _index in keys})
    prompt = _chosen(asked.get("prompt"), [index + 1 for _step, index in keys])
    if prompt is not None:
        rows = _of_prompt(run, prompt - 1, [step for step, index in keys if index == prompt - 1])
        return SamplePage(steps=steps, rows=rows, num_stored=len(keys), query=f"prompt={prompt}", prompt=prompt)
    chosen = _chosen(asked.get("step"), steps)
    step = steps[-1] if chosen is None else chosen
    query = "" if chosen is None else f"step={step}"
    return SamplePage(steps=steps, rows=_of_step(run, steps[0], step), num_stored=len(keys), query=query, step=step)


def _of_step(run: Run, first: int, step: int) -> list[Shown]:
    found = list(run.samples.filter(step__in={first, step}))
    before = {sample.index: sample for sample in found if sample.step == first != step}
    return [Shown(sample, before.get(sample.index)) for sample in found if sample.step == step]


def _of_prompt(run: Run, index: int, steps: list[int]) -> list[Shown]:
    last = len(steps) - 1
    kept = {steps[round(place * last / (MAX_ROWS - 1))] for place in range(MAX_ROWS)} if last >= MAX_ROWS else steps
    # None where the run began anew since its steps were read.
    found = list(run.samples.filter(index=index, step__in=kept))
    return [Shown(sample, found[0] if place else None) for place, sample in enumerate(found)]


def _chosen(raw: str | None, known: list[int]) -> int | None:
    """The number that was asked for, where it is one of those known."""
    number = int(raw) if raw and len(raw) <= 10 and raw.isascii() and raw.isdecimal() else None
    return number if number in known else None
