"""evaluation.json: everything that is measured of a reward model on held-out prompts, for its page and for machines.

Accuracy counts stated preferences, every labeler's word once (`evaluation`). Intervals are 95 % percentile bootstraps
over prompts, and once over labelers: a model can be sure of its prompts and still know only two people's taste.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from reward.training import evaluation
from reward.training.calibration import calibration, length_use
from reward.training.evaluation import Numbers, bootstrap
from reward.training.groups import Group, Pair
from reward.training.reliability import Reliability

NUM_DISAGREEMENTS = 50
HISTOGRAM_BINS = 24
LENGTH_GAPS = (0, 50, 200, 800)
"""Edges of the slices by difference in length, in characters."""


Interval = Callable[[Numbers, Callable[[Numbers], Numbers]], tuple[float, float]]
"""95 % interval of a statistic of a table's column totals over resampled rows."""


class Measured(NamedTuple):
    """What was found on the held-out groups. Arrays are [answers] per held-out group."""

    scores: Sequence[Numbers]
    spread: Sequence[Numbers]
    """Standard deviation of the heads' scores; empty with a single head."""
    floors: Mapping[str, Sequence[Numbers]]
    """Values by the floors `length`, `bag_of_words` and, where it was computed, `probe`."""
    train_scores: Numbers
    longer_wins: bool
    threshold: float
    """Rao and Kupper's eta; 0 for other likelihoods."""
    reliability: Mapping[str, Reliability]
    weights: Mapping[str, float]
    """What a word of a labeler weighed in training, 1 where the labeler is not named."""


def report(groups: Sequence[Group], found: Measured, *, samples: int, seed: int) -> dict[str, Any]:
    """The whole of evaluation.json."""

    def interval(table: Numbers, statistic: Callable[[Numbers], Numbers]) -> tuple[float, float]:
        return bootstrap(table, statistic, samples=samples, seed=seed)

    accuracy = evaluation.accuracy(groups, found.scores, samples=samples, seed=seed)
    floors = {name: _lead(groups, found.scores, values, interval) for name, values in found.floors.items()}
    use = length_use(groups, found.scores, samples=samples, seed=seed)
    written = {
        "format": 1,
        "accuracy": accuracy._asdict(),
        "by_labeler": _by_labeler(groups, found.scores, interval),
        "ceiling": evaluation.agreement_ceiling(groups),
        "floors": floors,
        "longer_wins": found.longer_wins,
        "length": None if use is None else use._asdict(),
        "calibration": _calibration(groups, found),
        "slices": _slices(groups, found.scores, interval),
        "scores": _histogram(found.train_scores, np.concatenate(list(found.scores))),
        "spread": float(np.concatenate(list(found.spread)).mean()) if found.spread else None,
        "labelers": _labelers(groups, found),
        "disagreements": disagreements(groups, found.scores),
    }
    return {**written, "verdicts": verdicts(written)}


def verdicts(written: Mapping[str, Any]) -> list[dict[str, str]]:
    """What a reader must not overlook. level `red`: shown to fail; `amber`: not shown to hold."""
    said = []
    low, value = written["accuracy"]["low"], written["accuracy"]["value"]
    if low <= 0.5:
        said.append({"code": "chance", "level": "red" if value <= 0.5 else "amber"})
    for name, floor in written["floors"].items():
        if floor["low"] <= 0:
            said.append({"code": f"floor_{name}", "level": "red" if floor["lead"] <= 0 else "amber"})
    use = written["length"]
    if use is not None and use["excess"] > 0:
        if use["low"] > 0:
            said.append({"code": "length", "level": "red"})
        elif use["excess"] > 0.1:
            said.append({"code": "length", "level": "amber"})
    return said


def disagreements(groups: Sequence[Group], scores: Sequence[Numbers]) -> list[dict[str, Any]]:
    """Couples on which people and model differ most: the model's lead in nats times the net votes against it."""
    rows: list[dict[str, Any]] = []
    for group, values in zip(groups, scores, strict=True):
        votes: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        for pair in group.pairs:
            key = (pair.first, pair.second) if pair.first < pair.second else (pair.second, pair.first)
            votes[key].append(pair.outcome if key[0] == pair.first else -pair.outcome)
        for (low, high), said in votes.items():
            net = sum(said)
            lead = float(values[low] - values[high])
            if net * lead < 0:
                better, worse = (low, high) if net > 0 else (high, low)
                rows.append(
                    {
                        "prompt": group.prompt_id,
                        "preferred": group.answers[better].id,
                        "rejected": group.answers[worse].id,
                        "lead": abs(lead),
                        "votes_for": sum(vote * net > 0 for vote in said),
                        "votes_against": sum(vote * net < 0 for vote in said),
                        "ties": said.count(0),
                        "weight": abs(lead * net),
                    }
                )
    return sorted(rows, key=lambda row: (-row["weight"], row["prompt"], row["preferred"]))[:NUM_DISAGREEMENTS]


def _lead(
    groups: Sequence[Group],
    scores: Sequence[Numbers],
    floor: Sequence[Numbers],
    interval: Interval,
) -> dict[str, float]:
    """The floor's accuracy, and the model's lead over it on the same preferences with a paired interval."""
    rows = []
    for group, ours, theirs in zip(groups, scores, floor, strict=True):
        hit, count = evaluation.hits(group.pairs, ours)
        rows.append((hit, evaluation.hits(group.pairs, theirs)[0], count))
    table = np.array(rows, dtype=np.float64)
    ours, theirs, count = table.sum(axis=0)
    low, high = interval(table, lambda totals: (totals[:, 0] - totals[:, 1]) / totals[:, 2])
    return {"accuracy": float(theirs / count), "lead": float((ours - theirs) / count), "low": low, "high": high}


def _by_labeler(
    groups: Sequence[Group],
    scores: Sequence[Numbers],
    interval: Interval,
) -> dict[str, Any]:
    table = np.array(list(_hits_by(groups, scores, lambda _, pair: pair.labeler).values()), dtype=np.float64)
    low, high = interval(table, _share)
    return {"low": low, "high": high, "num_labelers": len(table)}


def _slices(
    groups: Sequence[Group],
    scores: Sequence[Numbers],
    interval: Interval,
) -> dict[str, list[dict[str, Any]]]:
    """Accuracy of parts of the preferences, each with an interval over its prompts."""
    keys: dict[str, Callable[[Group, Pair], str]] = {
        "strength": lambda _, pair: "" if pair.strength is None else str(pair.strength),
        "length_gap": _length_gap,
        "category": lambda group, _: group.category,
        "labeler": lambda _, pair: pair.labeler,
    }
    found = {}
    for name, key in keys.items():
        rows = []
        for value in sorted({key(group, p) for group in groups for p in group.pairs if p.outcome}):
            parts = [group._replace(pairs=[p for p in group.pairs if key(group, p) == value]) for group in groups]
            table = np.array([evaluation.hits(*each) for each in _with_pairs(parts, scores)], dtype=np.float64)
            hit, count = table.sum(axis=0)
            low, high = interval(table, _share)
            rows.append({"name": value, "accuracy": hit / count, "low": low, "high": high, "num_pairs": int(count)})
        found[name] = rows
    return found


def _with_pairs(groups: Sequence[Group], scores: Sequence[Numbers]) -> list[tuple[list[Pair], Numbers]]:
    return [
        (group.pairs, values)
        for group, values in zip(groups, scores, strict=True)
        if any(pair.outcome for pair in group.pairs)
    ]


def _length_gap(group: Group, pair: Pair) -> str:
    """The lower edge of the slice, in characters."""
    gap = abs(group.answers[pair.first].characters - group.answers[pair.second].characters)
    return f"{max(edge for edge in LENGTH_GAPS if gap >= edge):04d}"


def _calibration(groups: Sequence[Group], found: Measured) -> dict[str, Any]:
    result = calibration(groups, found.scores, threshold=found.threshold)
    return {"ece": result.ece, "bins": [each._asdict() for each in result.bins]}


def _labelers(groups: Sequence[Group], found: Measured) -> list[dict[str, Any]]:
    """Agreement of the model with each labeler on held-out prompts, and the reliability that training saw."""
    table = _hits_by(groups, found.scores, lambda _, pair: pair.labeler)
    rows = []
    for labeler in sorted({*table, *found.reliability}):
        hit, count = table.get(labeler, (0.0, 0))
        known = found.reliability.get(labeler)
        rows.append(
            {
                "labeler": labeler,
                "accuracy": hit / count if count else None,
                "num_pairs": count,
                "reliability": None if known is None else known.probability,
                "is_doubtful": known is not None and known.is_doubtful,
                "weight": None if known is None else found.weights.get(labeler, 1.0),
            }
        )
    return rows


def _hits_by(
    groups: Sequence[Group], scores: Sequence[Numbers], key: Callable[[Group, Pair], str]
) -> dict[str, tuple[float, int]]:
    """(hits, stated preferences) by a pair's key."""
    found: defaultdict[str, tuple[float, int]] = defaultdict(lambda: (0.0, 0))
    for group, values in zip(groups, scores, strict=True):
        for pair in group.pairs:
            hit, count = evaluation.hits([pair], values)
            if count:
                total = found[key(group, pair)]
                found[key(group, pair)] = (total[0] + hit, total[1] + count)
    return dict(found)


def _share(totals: Numbers) -> Numbers:
    return np.asarray(totals[:, 0] / totals[:, 1])


def _histogram(train: Numbers, heldout: Numbers) -> dict[str, list[float]]:
    """Shares of answers by score, of both sets over the same edges."""
    both = np.concatenate([train, heldout])
    edges = np.linspace(float(both.min()), float(both.max()) or 1e-9, HISTOGRAM_BINS + 1)
    if edges[0] >= edges[-1]:
        edges = np.linspace(edges[0] - 0.5, edges[0] + 0.5, HISTOGRAM_BINS + 1)
    shares = {name: np.histogram(x, edges)[0] / len(x) for name, x in (("train", train), ("heldout", heldout))}
    return {"edges": edges.tolist(), **{name: share.tolist() for name, share in shares.items()}}
