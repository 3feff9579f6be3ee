"""Rankings out of pairs: what one labeler said about a prompt's answers, as orders with ties."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from reward.training.groups import Group, Pair


class Order(NamedTuple):
    """Answers best first; tied says which is as good as the one before it. weight: the labeler's words' mean weight."""

    labeler: str
    answers: list[int]
    tied: list[bool]
    weight: float


def orders_of(group: Group) -> list[Order]:
    """Each labeler's rankings. Where their pairs are no ranking (a circle, or not every couple judged once) the pairs
    stay as they are, and share one ranking's weight."""
    by_labeler: defaultdict[str, list[Pair]] = defaultdict(list)
    for pair in group.pairs:
        by_labeler[pair.labeler].append(pair)
    return [order for pairs in by_labeler.values() for part in _connected(pairs) for order in _orders(part)]


def _connected(pairs: Sequence[Pair]) -> Iterator[list[Pair]]:
    """Pairs that hang together through answers: a labeler may have ranked two lists of answers to one prompt."""
    part_of: dict[int, set[int]] = {}
    for pair in pairs:
        merged = part_of.get(pair.first, {pair.first}) | part_of.get(pair.second, {pair.second})
        part_of |= dict.fromkeys(merged, merged)
    for part in {id(part): part for part in part_of.values()}.values():
        yield [pair for pair in pairs if pair.first in part]


def _orders(pairs: Sequence[Pair]) -> list[Order]:
    """One order of all answers in `pairs`, or one for each pair."""
    wins: defaultdict[int, int] = defaultdict(int)
    said: dict[frozenset[int], Pair] = {}
    for pair in pairs:
        wins[pair.first] += pair.outcome
        wins[pair.second] -= pair.outcome
        said[frozenset((pair.first, pair.second))] = pair
    is_complete = len(said) == len(pairs) == len(wins) * (len(wins) - 1) // 2
    weight = sum(pair.weight for pair in pairs) / len(pairs)
    if is_complete and all(_agrees(pair, wins) for pair in pairs):
        return [_order(pairs[0].labeler, wins, weight)]
    return [_order(p.labeler, {p.first: p.outcome, p.second: 0}, p.weight / len(pairs)) for p in pairs]


def _agrees(pair: Pair, wins: Mapping[int, int]) -> bool:
    """In a ranking with ties the better answer has more net wins, and tied answers have as many."""
    lead = wins[pair.first] - wins[pair.second]
    return pair.outcome == (lead > 0) - (lead < 0)


def _order(labeler: str, value: Mapping[int, int], weight: float) -> Order:
    answers = sorted(value, key=lambda answer: (-value[answer], answer))
    tied = [False, *(value[a] == value[b] for a, b in pairwise(answers))]
    return Order(labeler, answers, tied, weight)
