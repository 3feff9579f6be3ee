"""The order of the queue: fresh answers first, then ordinary ones, stale ones last; within each by disagreement.

Priorities from 50 to 199 are three bands of 50. Below and above them stands what somebody put there on purpose, and
nothing here moves it. Only tasks are moved on which nobody has begun.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from statistics import fmean

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Value
from django.db.models.functions import Mod

from annotation.models import Campaign, Completion, Participation, Purpose, Task, TaskCompletion
from annotation.querysets import TaskQuerySet

FRESH, ORDINARY, STALE, END = 50, 100, 150, 200
BAND = 50
"""Steps in a band."""


@transaction.atomic
def demote_stale(*, campaign: Campaign, older: Collection[str], newer: Collection[str]) -> int:
    """Move tasks with answers of older checkpoints, and with none of newer ones, behind all others.

    Args:
        older: `Completion.source` of the checkpoints that a new one has overtaken.
        newer: the new one's, and what stands beside it.

    Also: every labeler looks through the queue anew. Returns how many tasks were moved.
    """
    _one_at_a_time(campaign)
    answers = Completion.objects.filter(tasks=OuterRef("pk"))
    stale = _movable(campaign).filter(
        Exists(answers.filter(source__in=older)), ~Exists(answers.filter(source__in=newer)), priority__lt=STALE
    )
    keys = list(stale.values_list("pk", flat=True))
    if keys:
        _look_anew(campaign)
        Task.objects.filter(pk__in=keys).update(priority=Value(STALE) + Mod(F("priority"), Value(BAND)))
    return len(keys)


@transaction.atomic
def order_by_disagreement(*, campaign: Campaign, spreads: Mapping[int, float]) -> int:
    """Order the tasks of each band by how far a judge's heads lie apart on their answers, the farthest first.

    Args:
        spreads: completion key -> standard deviation of the heads' scores. A task's is the mean of its answers'; one
            with an answer that is not among them keeps its place.

    Also: every labeler looks through the queue anew. Returns how many tasks were ordered.
    """
    _one_at_a_time(campaign)
    bands: dict[int, int] = {}
    found: defaultdict[int, list[float | None]] = defaultdict(list)
    items = TaskCompletion.objects.filter(task__in=_movable(campaign)).order_by()
    for task, priority, completion in items.values_list("task", "task__priority", "completion"):
        bands[task] = priority - priority % BAND
        found[task].append(spreads.get(completion))
    means = {task: fmean(known) for task, own in found.items() if (known := _all_known(own))}
    ordered = sorted(means, key=lambda task: (-means[task], task))
    moved: defaultdict[int, list[int]] = defaultdict(list)
    for place, task in enumerate(ordered):
        moved[bands[task] + place * BAND // len(ordered)].append(task)
    _look_anew(campaign)
    for priority, keys in moved.items():
        Task.objects.filter(pk__in=keys).update(priority=priority)
    return len(ordered)


def _all_known(spreads: list[float | None]) -> list[float]:
    known = [spread for spread in spreads if spread is not None]
    return known if len(known) == len(spreads) else []


def _movable(campaign: Campaign) -> TaskQuerySet:
    """Tasks of the bands on which nobody has begun: all their slots are free."""
    whole = Task.objects.open().filter(campaign=campaign, purpose=Purpose.COLLECT, free_slots=F("overlap"))
    return whole.filter(priority__gte=FRESH, priority__lt=END)


def _one_at_a_time(campaign: Campaign) -> None:
    Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)


def _look_anew(campaign: Campaign) -> None:
    """Forget how far each labeler has looked. Before any task is locked: a claim locks its labeler's standing first."""
    Participation.objects.filter(campaign=campaign).update(passed_priority=None, passed_task=None)
