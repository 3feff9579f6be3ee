"""What a labeler is given beside the ordinary queue, and what follows from what they hand in."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from django.db.models import F
from django.utils import timezone

from annotation.models import Lease, Participation, Ranking, Task
from annotation.quality import QualityPlan
from annotation.querysets import TaskQuerySet


class Chosen(NamedTuple):
    """A planned task: gold, training or a repeat; it takes no slot."""

    task: Task
    repeat: int
    shown: list[str] | None
    """Completion public ids in the order to show; None: as for any task."""


class Feedback(NamedTuple):
    """What a labeler is told after a training task."""

    score: float
    """Share of the known order's decided pairs that were ranked the same way, in [0, 1]."""
    expected: dict[str, int]
    """Completion public id -> rank in the known order."""
    explanation: str
    has_qualified: bool | None
    """None: the attempt goes on."""


def choose_planned(participation: Participation, plan: QualityPlan, *, num_held: int, now: datetime) -> Chosen | None:
    """The planned task that is due for the labeler; None: the ordinary queue."""
    return None


def matching(tasks: TaskQuerySet, participation: Participation) -> TaskQuerySet:
    """Those of the tasks whose language and skill are the labeler's."""
    if participation.languages:
        tasks = tasks.filter(language__in=["", *participation.languages])
    return tasks.filter(skill__in=["", *participation.skills])


def note_submitted(lease: Lease, ranking: Ranking, participation: Participation, plan: QualityPlan) -> Feedback | None:
    """Count what was handed in; revisions are not counted."""
    if lease.revises_id is not None:
        return None
    today = timezone.now().date()
    num_day = participation.num_day + 1 if participation.day == today else 1
    Participation.objects.filter(pk=participation.pk).update(
        num_submitted=F("num_submitted") + 1, day=today, num_day=num_day
    )
    return None
