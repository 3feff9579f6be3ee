"""Training and validation prompts of a public set, whole clusters on one side."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from annotation.public_sets.reading import PublicLine, Row


def with_splits(lines: Sequence[PublicLine], *, validation: float, seed: int) -> list[Row]:
    """The lines' rows with their split: the first clusters in the order of a hash, `validation` of them, are held out.

    Args:
        validation: share of the clusters, in [0, 1); 0 holds nothing out, anything above at least one cluster.
        seed: another seed gives another order.

    Raises:
        ValueError: a share outside of [0, 1).
    """
    if not 0 <= validation < 1:
        raise ValueError(f"validation ({validation}) must be at least 0 and below 1")
    clusters = sorted({line.cluster for line in lines}, key=lambda cluster: _key(cluster, seed))
    num_held_out = max(1, round(validation * len(clusters))) if validation else 0
    held_out = set(clusters[:num_held_out])
    return [{**line.row, "split": "validation" if line.cluster in held_out else "train"} for line in lines]


def _key(cluster: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}|{cluster}".encode("utf-8", "replace")).digest()
