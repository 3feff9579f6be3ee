"""Campaigns with their progress, counted in the query: a page of them costs as much at thirty rows as at one."""

from __future__ import annotations

from django.db.models import Count, F, IntegerField, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from annotation.models import Campaign, Ranking, Task, TaskRole


def with_progress(campaigns: QuerySet[Campaign]) -> QuerySet[Campaign]:
    """Each campaign with num_tasks, num_wanted (rankings that its tasks ask for) and num_rankings (those there are)."""
    wanted = Task.objects.not_archived().filter(campaign=OuterRef("pk"), role=TaskRole.WORK)
    tasks = wanted.order_by().values("campaign")
    rankings = (
        Ranking.objects.current()
        .filter(task__campaign=OuterRef("pk"), task__archived_at__isnull=True, task__role=TaskRole.WORK, repeat=0)
        .order_by()
        .values("task__campaign")
    )
    return campaigns.annotate(
        num_tasks=_count(tasks.annotate(n=Count("pk")).values("n")),
        num_wanted=_count(tasks.annotate(n=Sum("overlap")).values("n")),
        num_rankings=_count(rankings.annotate(n=Count("pk")).values("n")),
        num_left=F("num_wanted") - F("num_rankings"),
    )


def _count(rows: QuerySet) -> Coalesce:  # type: ignore[type-arg]
    return Coalesce(Subquery(rows, output_field=IntegerField()), 0)
