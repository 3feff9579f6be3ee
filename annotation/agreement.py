"""How far people agree on pairs; pure numbers, no database.

A unit is a pair of answers in one task, a value is what one labeler said of it: 1, 0 (a tie) or −1. A pair that a
labeler could not rank is missing, not a tie. The level of measurement is ordinal: "worse, equal, better" has an order,
and taking a tie for a win is a smaller error than turning a win round. Pairs are oriented by the order in which their
answers were created.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import krippendorff
import numpy as np

DOMAIN = (-1, 0, 1)
Votes = Mapping[int, int]
"""labeler -> outcome, of one unit."""


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


def agreement_of(units: Iterable[Votes]) -> Agreement:
    """Return all measures for a set of units; those with fewer than two values take no part."""
    judged = [votes for votes in units if len(votes) >= 2]
    counts = np.array([[sum(v == value for v in votes.values()) for value in DOMAIN] for votes in judged], dtype=int)
    agreed, compared = 0, 0
    for votes in judged:
        for labeler, value in votes.items():
            others = majority(v for other, v in votes.items() if other != labeler)
            if value and others:
                compared += 1
                agreed += value == others
    return Agreement(
        alpha=alpha(counts),
        num_pairs=len(judged),
        leave_one_out=agreed / compared if compared else None,
        num_leave_one_out=compared,
        same=same(counts),
    )


def alpha(counts: np.ndarray) -> float | None:
    """Krippendorff's alpha (2011, ordinal metric).

    Args:
        counts: [units, 3] how many labelers said −1, 0 and 1.
    """
    if len(counts) == 0 or np.count_nonzero(counts.sum(axis=0)) < 2:
        return None
    return float(krippendorff.alpha(value_counts=counts, value_domain=DOMAIN, level_of_measurement="ordinal"))


def same(counts: np.ndarray) -> float | None:
    """Share of equal values among all couples of values of the same unit, each couple counted once."""
    if len(counts) == 0:
        return None
    totals = counts.sum(axis=1)
    return float((counts * (counts - 1)).sum() / (totals * (totals - 1)).sum())


def majority(values: Iterable[int]) -> int | None:
    """The value that occurs most often; None where two share the first place or there is none."""
    ordered = Counter(values).most_common(2)
    if not ordered or (len(ordered) == 2 and ordered[0][1] == ordered[1][1]):
        return None
    return ordered[0][0]
