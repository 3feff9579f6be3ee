"""How far people agree on pairs; pure numbers, no database.

A unit is a pair of answers in one task, a value is what one labeler said of it: 1, 0 (a tie) or −1. A pair that a
labeler could not rank is missing, not a tie. The level of measurement is ordinal: "worse, equal, better" has an order,
and taking a tie for a win is a smaller error than turning a win round. Pairs are oriented by the order in which their
answers were created.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import krippendorff
import numpy as np

DOMAIN = (-1, 0, 1)
Ints = np.ndarray[Any, np.dtype[np.int64]]


class Counts(NamedTuple):
    """Units that are alike, counted: agreement asks only how many labelers said what of each."""

    values: Ints
    """[N, 3] how many labelers said −1, 0 and 1."""
    times: Ints
    """[N] how many units are so."""


class Agreement(NamedTuple):
    alpha: float | None
    """Krippendorff's ordinal alpha; None where nothing was judged twice or only one outcome ever occurred."""
    num_pairs: int
    """Units with at least two values."""
    leave_one_out: float | None
    """How often a labeler who prefers one answer agrees with the majority of the others where that has a preference
    too: the ceiling for a reward model's accuracy. None where there is no such case."""
    num_leave_one_out: int
    same: float | None
    """Mean over two labelers' values of the same unit: share that are equal, ties included."""


def agreement_of(counts: Counts) -> Agreement:
    """Return all measures for a set of units; those with fewer than two values take no part."""
    is_judged = counts.values.sum(axis=1) >= 2
    values, times = counts.values[is_judged], counts.times[is_judged]
    agreed, compared = 0, 0
    for side in (0, 2):
        others = values.copy()
        others[:, side] -= 1
        said, weight = preferred(others), times * values[:, side]
        compared += int(weight[said != 0].sum())
        agreed += int(weight[said == DOMAIN[side]].sum())
    units = values.repeat(times, axis=0)
    return Agreement(
        alpha=alpha(units),
        num_pairs=len(units),
        leave_one_out=agreed / compared if compared else None,
        num_leave_one_out=compared,
        same=same(units),
    )


def alpha(counts: Ints) -> float | None:
    """Krippendorff's alpha (2011, ordinal metric).

    Args:
        counts: [units, 3] how many labelers said −1, 0 and 1.
    """
    if len(counts) == 0 or np.count_nonzero(counts.sum(axis=0)) < 2:
        return None
    return float(krippendorff.alpha(value_counts=counts, value_domain=DOMAIN, level_of_measurement="ordinal"))


def same(counts: Ints) -> float | None:
    """Share of equal values among all couples of values of the same unit, each couple counted once."""
    if len(counts) == 0:
        return None
    totals = counts.sum(axis=1)
    return float((counts * (counts - 1)).sum() / (totals * (totals - 1)).sum())


def preferred(values: Ints) -> Ints:
    """What most said: [N] 1 or −1, or 0 where that is a tie, nothing, or shared, of [N, 3] numbers of values."""
    ordered = np.sort(values, axis=1)
    is_single = ordered[:, 2] > ordered[:, 1]
    return np.where(is_single, np.array(DOMAIN)[values.argmax(axis=1)], 0)
