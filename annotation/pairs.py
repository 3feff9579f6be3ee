"""Rankings as pairs: the one reading of a ranking that agreement and reward models share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import NamedTuple, Protocol

from annotation.models import Campaign, Purpose, Ranking
from annotation.querysets import RankingQuerySet


class RankedItem(Protocol):
    """A `RankingItem`, or anything shaped like one."""

    completion_id: int
    rank: int | None


class PairOutcome(NamedTuple):
    first: int
    """Primary key of the completion created earlier (the smaller key)."""
    second: int
    outcome: int
    """1: `first` is preferred, 0: a tie, −1: `second` is preferred."""


def ranking_pairs(items: Iterable[RankedItem]) -> Iterator[PairOutcome]:
    """Yield every pair of ranked answers once. An unrankable answer (rank None) says nothing: its pairs are missing."""
    ranked = sorted((item.completion_id, item.rank) for item in items if item.rank is not None)
    for (first, rank_first), (second, rank_second) in combinations(ranked, 2):
        yield PairOutcome(first, second, (rank_first < rank_second) - (rank_first > rank_second))


def current_rankings(campaign: Campaign) -> RankingQuerySet:
    """The collected rankings of a campaign that no revision has replaced."""
    return Ranking.objects.current().filter(task__campaign=campaign, task__purpose=Purpose.COLLECT)


def counted_rankings(campaign: Campaign) -> RankingQuerySet:
    """Those of `current_rankings` whose labeler is not set aside."""
    return current_rankings(campaign).counted()
