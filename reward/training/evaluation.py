"""How good a reward model is on held-out prompts, beside a floor (length) and a ceiling (agreement between labelers).

Only stated preferences count: a pair that a labeler called a tie has no right answer to predict. Every labeler's word
counts once, so a pair that three people judged counts three times. Equal scores, lengths or votes count 1/2.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reward.training.groups import Group, Pair

Numbers = NDArray[np.float64]

BLOCK = 500
"""Resamples drawn at a time: their counts take samples times rows in memory."""


class Accuracy(NamedTuple):
    """Share of stated preferences predicted, with the 2.5 % and 97.5 % percentiles of a bootstrap over prompts."""

    value: float
    low: float
    high: float
    num_pairs: int
    num_prompts: int


class LengthFloor(NamedTuple):
    """Accuracy of "the longer answer wins" (or the shorter, as the training pairs have it), in characters."""

    value: float
    longer_wins: bool


def accuracy(groups: Sequence[Group], scores: Sequence[Numbers], *, samples: int, seed: int) -> Accuracy:
    """Accuracy of `scores` (one array of [answers] per group) on the stated preferences of `groups`.

    Prompts are resampled, not pairs: the pairs of a prompt are not independent. A resample's accuracy is all its hits
    over all its pairs.

    Raises:
        ValueError: no stated preference.
    """
    per_prompt = np.array([hits(group.pairs, values) for group, values in zip(groups, scores, strict=True)])
    per_prompt = per_prompt[per_prompt[:, 1] > 0] if len(per_prompt) else per_prompt.reshape(0, 2)
    if not len(per_prompt):
        raise ValueError(f"none of {len(groups)} groups states a preference")
    found, pairs = per_prompt.sum(axis=0)
    low, high = bootstrap_interval(per_prompt, samples=samples, seed=seed)
    return Accuracy(found / pairs, low, high, int(pairs), len(per_prompt))


def bootstrap_interval(per_prompt: Numbers, *, samples: int, seed: int) -> tuple[float, float]:
    """95 % percentile interval of sum(hits) / sum(pairs) over resampled rows. per_prompt: [n, 2] hits and pairs."""
    return bootstrap(per_prompt, lambda totals: totals[:, 0] / totals[:, 1], samples=samples, seed=seed)


def bootstrap(
    table: Numbers, statistic: Callable[[Numbers], Numbers], *, samples: int, seed: int
) -> tuple[float, float]:
    """95 % percentile interval of a statistic of column totals, over resampled rows.

    table: [n, c], a row for each unit that is independent of the others. statistic: [s, c] totals to [s] values; values
    that are not finite (nothing to divide by) are left out.
    """
    generator = np.random.default_rng(seed)
    n = len(table)
    blocks = [min(BLOCK, samples - start) for start in range(0, samples, BLOCK)]
    totals = [generator.multinomial(n, np.full(n, 1 / n), size=size) @ table for size in blocks]
    with np.errstate(invalid="ignore", divide="ignore"):
        values = statistic(np.concatenate(totals))
    low, high = np.quantile(values[np.isfinite(values)], [0.025, 0.975])
    return float(low), float(high)


def length_floor(train: Sequence[Group], heldout: Sequence[Group]) -> LengthFloor:
    """The direction is chosen on `train` (longer when undecided) and measured on `heldout`."""
    longer_wins = _share(train, sign=1) >= 0.5
    return LengthFloor(_share(heldout, sign=1 if longer_wins else -1), longer_wins)


def agreement_ceiling(groups: Sequence[Group]) -> float | None:
    """Leave one labeler out: how often the majority of the others on the same pair predicts a stated preference.

    A balanced vote counts 1/2; None when no pair was judged by two labelers.
    """
    found, total = 0.0, 0
    for group in groups:
        for votes in _votes(group.pairs).values():
            for labeler, preference in votes:
                others = [vote for other, vote in votes if other != labeler]
                if preference and others:
                    found += _hit(float(np.sum(others)) * preference)
                    total += 1
    return found / total if total else None


def _votes(pairs: Sequence[Pair]) -> dict[tuple[int, int], list[tuple[str, int]]]:
    """Votes by unordered couple of answers, each as (labeler, outcome for the lower index)."""
    votes = defaultdict(list)
    for pair in pairs:
        sign = 1 if pair.first < pair.second else -1
        votes[min(pair.first, pair.second), max(pair.first, pair.second)].append((pair.labeler, sign * pair.outcome))
    return votes


def _share(groups: Sequence[Group], *, sign: int) -> float:
    lengths = [sign * np.array([answer.characters for answer in group.answers], dtype=np.float64) for group in groups]
    rows = [hits(group.pairs, values) for group, values in zip(groups, lengths, strict=True)]
    found, pairs = np.sum(rows, axis=0)
    return float(found / pairs)


def hits(pairs: Sequence[Pair], values: Numbers) -> tuple[float, int]:
    """How many stated preferences agree with an answer's value, equal ones counting 1/2, and how many there are."""
    stated = [pair for pair in pairs if pair.outcome]
    return sum(_hit((values[p.first] - values[p.second]) * p.outcome) for p in stated), len(stated)


def _hit(agreement: float) -> float:
    return float(np.sign(agreement) + 1) / 2
