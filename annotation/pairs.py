"""Rankings as pairs: the one reading of a ranking that agreement and reward models share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import NamedTuple
from typing import Protocol as Shape

from annotation.models import Campaign, Protocol, Purpose, Ranking, TaskRole
from annotation.querysets import RankingQuerySet


class RankedItem(Shape):
    """A `RankingItem`, or anything shaped like one."""

    completion_id: int
    rank: int | None


class PairOutcome(NamedTuple):
    first: int
    """Primary key of the completion created earlier (the smaller key)."""
    second: int
    outcome: int
    """1: `first` is preferred, 0: a tie, −1: `second` is preferred."""


def pairs_of(ranking: Ranking) -> Iterator[PairOutcome]:
    """What a ranking says of each pair of its answers."""
    return ranking_pairs(ranking.items.all(), only_best=ranking.protocol == Protocol.BEST)


def ranking_pairs(items: Iterable[RankedItem], *, only_best: bool = False) -> Iterator[PairOutcome]:
    """Yield every pair of ranked answers once. An unrankable answer (rank None) says nothing: its pairs are missing.

    Args:
        only_best: one answer was chosen and the others were not compared with each other: a shared rank is no tie.
    """
    ranked = sorted((item.completion_id, item.rank) for item in items if item.rank is not None)
    for (first, rank_first), (second, rank_second) in combinations(ranked, 2):
        if only_best and rank_first == rank_second:
            continue
        yield PairOutcome(first, second, (rank_first < rank_second) - (rank_first > rank_second))


def current_rankings(campaign: Campaign) -> RankingQuerySet:
    """The collected rankings of a campaign that stand. Repeats and tasks with a known order measure something else."""
    collected = Ranking.objects.current().filter(task__campaign=campaign, task__purpose=Purpose.COLLECT)
    return collected.filter(task__role=TaskRole.WORK, repeat=0)


def counted_rankings(campaign: Campaign) -> RankingQuerySet:
    """Those of `current_rankings` whose labeler is not set aside."""
    return current_rankings(campaign).counted()
