"""Does a reward model mean what it says? Its probabilities beside what people said, and how far it follows length."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from reward.training.evaluation import Numbers, bootstrap
from reward.training.groups import Group

NUM_BINS = 10


class Bin(NamedTuple):
    """Stated preferences whose predicted probability of the likelier side lies in [low, high), the last one closed."""

    low: float
    high: float
    num_pairs: int
    confidence: float | None
    accuracy: float | None


class Calibration(NamedTuple):
    """ece: expected calibration error, sum over bins of share times |accuracy - confidence| (Guo et al. 2017)."""

    ece: float
    bins: list[Bin]


class LengthUse(NamedTuple):
    """Over stated preferences between answers of different length: how often people, and the model, took the longer.

    excess: how much further from a half the model is than people, with a 95 % interval over prompts.
    """

    people: float
    model: float
    excess: float
    low: float
    high: float
    num_pairs: int


def calibration(groups: Sequence[Group], scores: Sequence[Numbers], *, threshold: float = 0.0) -> Calibration:
    """Of P(first preferred | no tie), which is sigmoid(d) for Bradley-Terry, Davidson and Plackett-Luce.

    threshold: Rao and Kupper's eta, whose P is sigmoid(d - eta) / (sigmoid(d - eta) + sigmoid(-d - eta)).
    """
    lead = np.array([
        (values[pair.first] - values[pair.second]) * pair.outcome
        for group, values in zip(groups, scores, strict=True)
        for pair in group.pairs
        if pair.outcome
    ])  # fmt: skip
    size = np.abs(lead)
    confidence = 1 / (1 + np.exp(_log_sigmoid(-size - threshold) - _log_sigmoid(size - threshold)))
    hit = (np.sign(lead) + 1) / 2
    edges = np.linspace(0.5, 1, NUM_BINS + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, NUM_BINS - 1)
    bins = []
    for number, (low, high) in enumerate(pairwise(edges)):
        inside = place == number
        known = bool(inside.any())
        bins.append(
            Bin(
                low=round(float(low), 6),
                high=round(float(high), 6),
                num_pairs=int(inside.sum()),
                confidence=float(confidence[inside].mean()) if known else None,
                accuracy=float(hit[inside].mean()) if known else None,
            )
        )
    ece = sum(b.num_pairs * abs(b.accuracy - b.confidence) for b in bins if b.accuracy is not None and b.confidence)
    return Calibration(float(ece / len(lead)) if len(lead) else 0.0, bins)


def length_use(groups: Sequence[Group], scores: Sequence[Numbers], *, samples: int, seed: int) -> LengthUse | None:
    """None where no two answers with a stated preference differ in length (in characters)."""
    rows = []
    for group, values in zip(groups, scores, strict=True):
        length = np.array([answer.characters for answer in group.answers], dtype=np.float64)
        said = [(length[p.first] - length[p.second], p) for p in group.pairs if p.outcome]
        differing = [(np.sign(gap), p) for gap, p in said if gap]
        people = sum((sign * p.outcome + 1) / 2 for sign, p in differing)
        model = sum((sign * np.sign(values[p.first] - values[p.second]) + 1) / 2 for sign, p in differing)
        rows.append((people, model, len(differing)))
    table = np.array([row for row in rows if row[2]], dtype=np.float64).reshape(-1, 3)
    if not len(table):
        return None

    def excess(totals: Numbers) -> Numbers:
        shares = totals[..., :2] / totals[..., 2:]
        away = np.abs(shares - 0.5)
        return np.asarray(away[..., 1] - away[..., 0])

    totals = table.sum(axis=0)
    low, high = bootstrap(table, excess, samples=samples, seed=seed)
    people, model = totals[:2] / totals[2]
    return LengthUse(float(people), float(model), float(excess(totals)), low, high, int(totals[2]))


def _log_sigmoid(x: Numbers) -> Numbers:
    return -np.logaddexp(0.0, -x)
