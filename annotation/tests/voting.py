"""Votes as counts, one row for each unit."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np

from annotation.agreement import DOMAIN, Counts


def counts_of(units: Iterable[Collection[int]]) -> Counts:
    rows = [[list(votes).count(value) for value in DOMAIN] for votes in units]
    return Counts(np.array(rows, dtype=np.int64).reshape(-1, 3), np.ones(len(rows), dtype=np.int64))
