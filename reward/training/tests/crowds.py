"""Simulated labelers: honest ones, who err, and bad ones, who rank by something other than an answer's quality."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from reward.training.groups import Pair

Numbers = NDArray[np.float64]
NOISE = 0.6
TIE_WIDTH = 0.15

HONEST = "honest"
KINDS: dict[str, Callable[[np.random.Generator, Numbers, Numbers], Numbers]] = {
    HONEST: lambda rng, quality, length: quality + NOISE * rng.gumbel(size=quality.size),
    "random": lambda rng, quality, length: rng.normal(size=quality.size),
    "position-biased": lambda rng, quality, length: rng.permutation(quality.size).astype(float),
    "position-biased in one order": lambda rng, quality, length: -np.arange(quality.size, dtype=float),
    "length-biased": lambda rng, quality, length: length + 0.1 * rng.normal(size=quality.size),
    "adversarial": lambda rng, quality, length: -quality + NOISE * rng.gumbel(size=quality.size),
}
"""What a labeler makes of a prompt's answers, from their quality and length, both of standard deviation 1. By position:
answers are shuffled for each labeler, or shown to all in one order, so that the biased agree with each other."""


def judge(labeler: str, kind: str, rng: np.random.Generator, quality: Numbers, length: Numbers) -> list[Pair]:
    """The labeler's word on every couple of a prompt's answers."""
    worth = KINDS[kind](rng, quality, length)
    return [
        Pair(i, j, _outcome(worth[i] - worth[j]), 1.0, labeler, None)
        for i, j in itertools.combinations(range(quality.size), 2)
    ]


def _outcome(lead: float) -> int:
    return 0 if abs(lead) < TIE_WIDTH else int(np.sign(lead))
