"""A lineage as the page shows it: depth first, each checkpoint under its parent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from policy.models import Checkpoint


class Node(NamedTuple):
    checkpoint: Checkpoint
    children: list[Node]


def tree(checkpoints: Iterable[Checkpoint]) -> list[Node]:
    """The roots with their descendants; a checkpoint whose parent is not among them is a root."""
    found = list(checkpoints)
    known = {checkpoint.pk for checkpoint in found}
    by_parent: dict[int | None, list[Checkpoint]] = defaultdict(list)
    for checkpoint in found:
        by_parent[checkpoint.parent_id if checkpoint.parent_id in known else None].append(checkpoint)
    return list(_nodes(by_parent, None))


def _nodes(by_parent: dict[int | None, list[Checkpoint]], parent: int | None) -> Iterator[Node]:
    for checkpoint in by_parent[parent]:
        yield Node(checkpoint, list(_nodes(by_parent, checkpoint.pk)))
