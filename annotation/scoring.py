"""How well a ranking meets a known order; pure, no database."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

from annotation.protocols import PAIRWISE, Protocol

NO_TIES = PAIRWISE | {Protocol.STRICT}
"""Protocols under which a labeler cannot say "equal", so that a known tie cannot be asked of them."""


def score(known: Mapping[str, int], said: Mapping[str, int | None], protocol: str) -> float | None:
    """Share of the pairs that the known order decides on which the labeler said the same, in [0, 1].

    A pair is said the same where it is better, worse or equal in both. So a known tie is met by a tie alone, and a tie
    misses a known preference. An answer that the labeler could not rank misses every pair it is in. Where one answer
    was chosen and the others were not compared (best of all), only the pairs of the chosen one are looked at.

    Args:
        known: answer -> rank, 1 is best; an answer that is left out is not checked.
        said: answer -> rank, None: could not be ranked.

    Returns:
        None where the known order decides no pair that the protocol can speak of.
    """
    outcomes = [
        _sign(known[first], known[second]) == _said(said.get(first), said.get(second))
        for first, second in combinations(sorted(known), 2)
        if _is_asked(known, said, (first, second), protocol)
    ]
    return sum(outcomes) / len(outcomes) if outcomes else None


def _is_asked(known: Mapping[str, int], said: Mapping[str, int | None], pair: tuple[str, str], protocol: str) -> bool:
    if known[pair[0]] == known[pair[1]] and protocol in NO_TIES:
        return False
    ranks = [said.get(answer) for answer in pair]
    return protocol != Protocol.BEST or ranks[0] is None or ranks[0] != ranks[1]


def _sign(first: int, second: int) -> int:
    """1: the first is better, 0: equal, −1: the second is better."""
    return (first < second) - (first > second)


def _said(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else _sign(first, second)
