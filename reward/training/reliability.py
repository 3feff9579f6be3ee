"""How far each labeler can be believed, from how often their words agree with other people's on the same answers.

One coin per labeler (Dawid and Skene 1979): every couple of answers has a better one, and labeler k names it with
probability eta_k when they prefer one at all. EM finds the eta with the truth summed over, so a labeler's own vote does
not vouch for itself. A tie says nothing about either.

Crowd-Bradley-Terry (Chen et al. 2013) would fit a score for each answer as well; fitted so, a careless labeler's own
ranking explains itself (docs/decisions/0005-reliability-from-agreement.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reward.training.groups import Group

PRIOR_RIGHT, PRIOR_WRONG = 3.0, 1.0
"""Pseudo-counts: a labeler of whom nothing is known is right three times of four."""
DOUBTFUL, LEAST_SHARED = 0.65, 20
"""Who names the better answer less often is hardly better than a coin, if so many preferences of theirs show it."""
START = 0.8
MAX_ITERATIONS = 500
TOLERANCE = 1e-6


class Reliability(NamedTuple):
    """probability: eta, of naming the better answer; 0.5 is a coin, below it somebody who turns answers round.
    num_pairs: preferences stated; num_shared: those on couples that another labeler judged too, the evidence."""

    probability: float
    num_pairs: int
    num_shared: int

    @property
    def weight(self) -> float:
        """Log-odds of being right, the weight of a vote under this model; nothing from a coin on."""
        return max(0.0, float(np.log(self.probability / (1 - self.probability))))

    @property
    def is_doubtful(self) -> bool:
        return self.probability < DOUBTFUL and self.num_shared >= LEAST_SHARED


class _Votes(NamedTuple):
    """Stated preferences. couple: [V] int64; labeler: [V] int64; sign: [V] +1 where the lower index was preferred."""

    couple: NDArray[np.int64]
    labeler: NDArray[np.int64]
    sign: NDArray[np.float64]


def estimate_reliability(groups: Sequence[Group]) -> dict[str, Reliability]:
    """Reliability of every labeler who stated a preference, by their id."""
    names, votes = _collect(groups)
    if not names:
        return {}
    count = np.bincount(votes.labeler, minlength=len(names))
    eta = np.full(len(names), START)
    for _ in range(MAX_ITERATIONS):
        log_odds = np.log(eta / (1 - eta))
        first_is_better = 1 / (1 + np.exp(-np.bincount(votes.couple, votes.sign * log_odds[votes.labeler])))
        right = np.where(votes.sign > 0, first_is_better[votes.couple], 1 - first_is_better[votes.couple])
        new = (np.bincount(votes.labeler, right, len(names)) + PRIOR_RIGHT) / (count + PRIOR_RIGHT + PRIOR_WRONG)
        moved, eta = float(np.abs(new - eta).max()), new
        if moved < TOLERANCE:
            break
    is_shared = np.bincount(votes.couple)[votes.couple] > 1
    shared = np.bincount(votes.labeler, is_shared, len(names))
    return {name: Reliability(float(eta[i]), int(count[i]), int(shared[i])) for i, name in enumerate(names)}


def labeler_weights(reliability: dict[str, Reliability]) -> dict[str, float]:
    """Weights with mean 1 over the stated preferences, so that a careful labeler's prompt counts more than another's.

    All are 1 where nobody is better than a coin: weights of nothing but 0 would leave nothing to train on.
    """
    total = sum(each.num_pairs for each in reliability.values())
    mean = sum(each.weight * each.num_pairs for each in reliability.values()) / total if total else 0.0
    return {name: each.weight / mean if mean else 1.0 for name, each in reliability.items()}


def _collect(groups: Sequence[Group]) -> tuple[list[str], _Votes]:
    labelers: dict[str, int] = {}
    couples: dict[tuple[int, int, int], int] = {}
    rows = []
    for number, group in enumerate(groups):
        for pair in group.pairs:
            if pair.outcome:
                low, high = sorted((pair.first, pair.second))
                couple = couples.setdefault((number, low, high), len(couples))
                labeler = labelers.setdefault(pair.labeler, len(labelers))
                rows.append((couple, labeler, pair.outcome if pair.first == low else -pair.outcome))
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return list(labelers), _Votes(table[:, 0], table[:, 1], table[:, 2].astype(np.float64))
