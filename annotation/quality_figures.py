"""What managers read about quality: known orders, each labeler's figures, where people stand, and reports."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import NamedTuple

from django.db import models
from django.db.models import Avg, Count, F, Max, Q, QuerySet
from django.db.models.functions import Cast
from django.utils.translation import gettext_lazy as _

from annotation.models import (
    Campaign,
    Labeler,
    Membership,
    Participation,
    Purpose,
    Ranking,
    RankingItem,
    Report,
    Task,
    TaskRole,
)
from annotation.pairs import current_rankings, pairs_of
from annotation.quality import QualityPlan
from annotation.querysets import TaskQuerySet

FEW = 3
"""Rankings of a known order from which its share passed says something."""


class LabelerQuality(NamedTuple):
    gold_score: float | None = None
    """Mean over their rankings of gold tasks, in [0, 1]."""
    num_gold: int = 0
    consistency: float | None = None
    """Share of pairs that they said the same way when a task came again, its answers turned, in [0, 1]."""
    num_repeated_pairs: int = 0
    first_share: float | None = None
    """Share of their preferences that went to the answer shown first, in [0, 1]; a half is no liking for a place."""
    num_preferences: int = 0


class KnownOrder(NamedTuple):
    task: Task
    num_rankings: int
    mean_score: float | None
    num_passed: int
    """Rankings whose score is enough by the campaign's plan."""

    @property
    def share_passed(self) -> float | None:
        return self.num_passed / self.num_rankings if self.num_rankings else None

    @property
    def is_doubtful(self) -> bool:
        """Most people fail it: then the order is rather wrong than they are."""
        return self.num_rankings >= FEW and 2 * self.num_passed < self.num_rankings


class Qualification(models.TextChoices):
    QUALIFIED = "qualified", _("Qualified")
    AGAIN = "again", _("To qualify again")
    FAILED = "failed", _("Failed")
    NOT_YET = "not_yet", _("Not yet")


class Person(NamedTuple):
    """A seat, and where its holder stands."""

    seat: Membership
    labeler: Labeler | None
    """None until they first work here, or a manager says what they read."""
    participation: Participation | None
    qualification: Qualification | None
    """None in a campaign in which nobody has to qualify."""
    quality: LabelerQuality


def known_orders(campaign: Campaign, *, task: Task | None = None) -> list[KnownOrder]:
    """Gold and training tasks that are handed out, or this one; those that most people fail first; three queries."""
    plan = QualityPlan.read(campaign.quality)
    scored = Q(
        rankings__gold_score__isnull=False, rankings__superseded_by__isnull=True, rankings__withdrawn_at__isnull=True
    )
    enough = Q(role=TaskRole.GOLD, rankings__gold_score__gte=plan.gold_min) | Q(
        role=TaskRole.TRAINING, rankings__gold_score__gte=plan.qualification_min
    )
    tasks = (
        Task.objects.not_archived()
        .filter(campaign=campaign)
        .filter(Q() if task is None else Q(pk=task.pk))
        .exclude(role=TaskRole.WORK)
        .select_related("prompt", "gold")
        .annotate(
            num_scored=Count("rankings", filter=scored),
            mean_score=Avg("rankings__gold_score", filter=scored),
            num_passed=Count("rankings", filter=scored & enough),
        )
    )
    rows = [
        KnownOrder(task, task.num_scored, task.mean_score, task.num_passed) for task in tasks.order_by("role", "-pk")
    ]
    return sorted(rows, key=lambda row: not row.is_doubtful)


def labeler_quality(campaign: Campaign, labelers: Collection[Labeler] | None = None) -> dict[int, LabelerQuality]:
    """Figures by labeler key, for those named or for all; four queries. Who has none is not in it."""
    own = Q() if labelers is None else Q(labeler__in=labelers)
    gold = _gold_scores(campaign, own)
    repeats = _repeats(campaign, own)
    firsts = _first_shares(campaign, own)
    found = {}
    for key in {*gold, *repeats, *firsts}:
        gold_score, num_gold = gold.get(key, (None, 0))
        consistency, num_repeated_pairs = repeats.get(key, (None, 0))
        first_share, num_preferences = firsts.get(key, (None, 0))
        found[key] = LabelerQuality(gold_score, num_gold, consistency, num_repeated_pairs, first_share, num_preferences)
    return found


def _gold_scores(campaign: Campaign, own: Q) -> dict[int, tuple[float, int]]:
    scored = Ranking.objects.current().filter(
        own, task__campaign=campaign, task__role=TaskRole.GOLD, gold_score__isnull=False
    )
    rows = scored.order_by().values_list("labeler").annotate(Avg("gold_score"), Count("pk"))
    return {labeler: (mean, num) for labeler, mean, num in rows}


def _repeats(campaign: Campaign, own: Q) -> dict[int, tuple[float | None, int]]:
    said = Ranking.objects.current().filter(own, task__campaign=campaign, task__role=TaskRole.WORK)
    again = said.filter(repeat__gt=0)
    both = said.filter(task__in=again.values("task")).prefetch_related("items")
    found: defaultdict[tuple[int, int], list[Ranking]] = defaultdict(list)
    for ranking in both.order_by("repeat"):
        found[ranking.labeler_id, ranking.task_id].append(ranking)
    same: defaultdict[int, list[bool]] = defaultdict(list)
    for (labeler, _task), (first, *later) in found.items():
        outcomes = {pair[:2]: pair.outcome for pair in pairs_of(first)}
        for ranking in later:
            same[labeler] += [outcomes[pair[:2]] == pair.outcome for pair in pairs_of(ranking) if pair[:2] in outcomes]
    return {labeler: (sum(hits) / len(hits) if hits else None, len(hits)) for labeler, hits in same.items()}


def _first_shares(campaign: Campaign, own: Q) -> dict[int, tuple[float, int]]:
    """Counted by the database: it is every pair of every ranking."""
    items = RankingItem.objects.filter(ranking__in=current_rankings(campaign).filter(own), rank__isnull=False)
    pairs = items.filter(
        Q(ranking__items__rank__gt=F("rank")) | Q(ranking__items__rank__lt=F("rank")),
        ranking__items__position_shown__gt=F("position_shown"),
    )
    is_first = Q(rank__lt=F("ranking__items__rank"))
    counted = (
        pairs.order_by().values("ranking__labeler").annotate(num=Count("pk"), num_first=Count("pk", filter=is_first))
    )
    rows = counted.values_list("ranking__labeler", "num", "num_first")
    return {labeler: (num_first / num, num) for labeler, num, num_first in rows}


def num_training_tasks(campaign: Campaign) -> int:
    return Task.objects.not_archived().filter(campaign=campaign, role=TaskRole.TRAINING).count()


def tasks_to_choose(campaign: Campaign, asked: str) -> TaskQuerySet:
    """Ordinary tasks to collect preferences on, newest first; with words in the prompt where some are asked for."""
    tasks = Task.objects.not_archived().filter(campaign=campaign, role=TaskRole.WORK, purpose=Purpose.COLLECT)
    if asked:
        tasks = tasks.alias(words=Cast("prompt__messages", models.TextField())).filter(words__icontains=asked)
    return tasks.select_related("prompt").annotate(num_answers=Count("items")).order_by("-pk")


def people(campaign: Campaign) -> list[Person]:
    """The seats by name, with where their holders stand; eight queries."""
    return _people(campaign, list(campaign.memberships.select_related("user").order_by("user__username")))


def person_of(seat: Membership) -> Person:
    return _people(seat.campaign, [seat])[0]


def _people(campaign: Campaign, seats: list[Membership]) -> list[Person]:
    labelers = {
        labeler.user_id: labeler
        for labeler in Labeler.objects.filter(
            workspace=campaign.workspace_id, user__in=[seat.user_id for seat in seats]
        )
    }
    standings = {
        row.labeler_id: row for row in Participation.objects.filter(campaign=campaign, labeler__in=labelers.values())
    }
    quality = labeler_quality(campaign, list(labelers.values()))
    qualifies = QualityPlan.read(campaign.quality).qualifies
    asked = campaign.guidelines.filter(asks_again=True).aggregate(last=Max("pk"))["last"]
    rows = []
    for seat in seats:
        labeler = labelers.get(seat.user_id)
        standing = standings.get(labeler.pk) if labeler else None
        rows.append(
            Person(
                seat,
                labeler,
                standing,
                _qualification(standing, asked) if qualifies else None,
                quality.get(labeler.pk, LabelerQuality()) if labeler else LabelerQuality(),
            )
        )
    return rows


def _qualification(standing: Participation | None, asked: int | None) -> Qualification:
    """As `services.qualification.is_qualified`, with the last version that asks to qualify again read beforehand."""
    if standing is None:
        return Qualification.NOT_YET
    if standing.failed_at is not None:
        return Qualification.FAILED
    if standing.qualified_version_id is None:
        return Qualification.NOT_YET
    return Qualification.AGAIN if asked and asked > standing.qualified_version_id else Qualification.QUALIFIED


def open_reports(campaign: Campaign) -> QuerySet[Report]:
    """Reports that nobody has dealt with, the oldest first, with task, prompt and labeler."""
    reports = Report.objects.filter(task__campaign=campaign, resolved_at__isnull=True)
    reports = reports.select_related("task__prompt", "task__campaign__workspace", "labeler")
    return reports.prefetch_related("task__items__completion").order_by("pk")


def num_open_reports(campaign: Campaign) -> int:
    return Report.objects.filter(task__campaign=campaign, resolved_at__isnull=True).count()
