"""Intervals of a win rate: bootstrap over prompts, Wilson's where all prompts agree."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

BOOTSTRAP_RESAMPLES = 10_000
Z_95 = 1.959963984540054


def interval(means: Sequence[float], *, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean of per-prompt win shares in [0, 1].

    Percentile bootstrap over prompts, B = 10,000; Wilson's score interval with n = prompts where all prompts agree,
    because resampling a constant has no width (Wilson 1927, eq. 4).

    Raises:
        ValueError: no prompts.
    """
    if not means:
        raise ValueError("an interval needs at least one prompt")
    values = np.asarray(means, dtype=np.float64)
    if np.all(values == values[0]):
        return _wilson(float(values[0]), len(values))
    draws = np.random.default_rng(seed).integers(0, len(values), size=(BOOTSTRAP_RESAMPLES, len(values)))
    low, high = np.percentile(values[draws].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def _wilson(share: float, n: int) -> tuple[float, float]:
    centre = share + Z_95**2 / (2 * n)
    half = Z_95 * math.sqrt(share * (1 - share) / n + Z_95**2 / (4 * n**2))
    scale = 1 + Z_95**2 / n
    # Rounding must not leave the share itself outside: at 0 the lower end would be 5e-17.
    return max(0.0, min(share, (centre - half) / scale)), min(1.0, max(share, (centre + half) / scale))
