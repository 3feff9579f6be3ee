"""Overlap that adapts: one more labeler is asked only where one more could change the order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from django.db.models import F
from django.utils import timezone

from annotation.models import Ranking, Task, TaskRole
from annotation.pairs import PairOutcome, pairs_of


def grow_overlap(*, task_id: int, at_most: int) -> bool:
    """Ask for one more ranking of a task whose rankings are all in and leave the order open; True when it was asked.

    Call it in the transaction of a submit, after the ranking is stored. Of submits at once the last one to lock the
    task sees the rankings of all the others, so that exactly one of them finds the overlap filled.

    Args:
        at_most: the overlap is not raised above this.
    """
    task = Task.objects.select_for_update(no_key=True).filter(pk=task_id, role=TaskRole.WORK, archived_at=None).first()
    if task is None or task.free_slots or task.overlap >= at_most:
        return False
    rankings = Ranking.objects.counted().filter(task=task, repeat=0).prefetch_related("items")
    said = [list(pairs_of(ranking)) for ranking in rankings]
    if len(said) < task.overlap or not is_open(said):
        return False
    Task.objects.filter(pk=task.pk).update(
        overlap=F("overlap") + 1, free_slots=F("free_slots") + 1, returned_at=timezone.now()
    )
    return True


def is_open(said: Iterable[Iterable[PairOutcome]]) -> bool:
    """Whether one more labeler could change the majority's order of some pair.

    A pair's order is the sign of the sum of its outcomes (1, 0, −1): one more outcome changes it where |sum| ≤ 1.
    Pairs that nobody judged are not waited for: those who come next are as likely to find them unrankable.

    Args:
        said: for each ranking its pairs.
    """
    sums: Counter[tuple[int, int]] = Counter()
    for pairs in said:
        for first, second, outcome in pairs:
            sums[first, second] += outcome
    return any(abs(total) <= 1 for total in sums.values())
