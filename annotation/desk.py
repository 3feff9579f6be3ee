"""What a labeler's screen reads beside the task: their progress, what they said last, what is new in the guidelines."""

from __future__ import annotations

from collections import defaultdict
from statistics import median
from string import ascii_uppercase
from typing import NamedTuple

from django.db.models import Exists, OuterRef
from django.utils import timezone
from django.utils.functional import Promise

from accounts.word_diff import Piece, word_diff
from annotation.models import Campaign, GuidelineVersion, Labeler, Lease, Participation, Ranking, Task
from annotation.protocols import STRENGTHS
from annotation.queries import MAX_COUNTED
from annotation.querysets import for_reader
from annotation.services import Guidelines

PACE_OF = 50
"""The last so many rankings make the pace."""


class WorkProgress(NamedTuple):
    """How far a labeler is in a campaign."""

    num_today: int
    num_left: int
    has_more: bool
    """True: at least `num_left` tasks are left."""
    pace_seconds: float | None
    """Median of the active seconds of their last rankings."""


class GuidelineChanges(NamedTuple):
    """The guidelines against those by which the labeler worked last; `pieces` is None for texts that are too long."""

    since: int
    pieces: tuple[Piece, ...] | None


class Said(NamedTuple):
    """A ranking in letters: ["B"], ["A", "C"] is B first and A tied with C."""

    ranking: Ranking
    places: list[list[str]]
    unranked: list[str]

    @property
    def strength(self) -> Promise | None:
        """How much better the first is, where that was asked."""
        return dict(STRENGTHS).get(self.ranking.strength or 0)


def work_progress(campaign: Campaign, labeler: Labeler) -> WorkProgress:
    """Four queries, none of which grows with the campaign."""
    said = Ranking.objects.current().filter(labeler=labeler, task__campaign=campaign)
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    standing = Participation.objects.filter(campaign=campaign, labeler=labeler).first() or Participation()
    open_tasks = Task.objects.open().filter(for_reader(standing), campaign=campaign).not_ranked_by(labeler)
    num_left = open_tasks.in_queue_order()[: MAX_COUNTED + 1].count()
    last = said.filter(active_seconds__isnull=False).order_by("-pk").values_list("active_seconds", flat=True)
    seconds = [value for value in last[:PACE_OF] if value is not None]
    return WorkProgress(
        num_today=said.filter(created_at__gte=midnight).count(),
        num_left=min(num_left, MAX_COUNTED),
        has_more=num_left > MAX_COUNTED,
        pace_seconds=median(seconds) if seconds else None,
    )


def guideline_changes(lease: Lease, now: Guidelines | None) -> GuidelineChanges | None:
    """What is new in these guidelines for the lease's labeler; None where they worked under them, or never before."""
    if now is None or now.number == 1:
        return None
    theirs = Ranking.objects.filter(guideline_version=OuterRef("pk"), labeler=lease.labeler_id)
    last = GuidelineVersion.objects.filter(Exists(theirs), campaign=now.campaign_id).order_by("-number").first()
    if last is None or last.number >= now.number:
        return None
    return GuidelineChanges(last.number, word_diff(last.text, now.text))


def said(ranking: Ranking) -> Said:
    """The ranking in the letters under which its answers were shown."""
    places: defaultdict[int, list[str]] = defaultdict(list)
    unranked = []
    for letter, item in zip(ascii_uppercase, ranking.items.all(), strict=False):
        if item.rank is None:
            unranked.append(letter)
        else:
            places[item.rank].append(letter)
    return Said(ranking, [places[rank] for rank in sorted(places)], unranked)
