"""The words in which the labelling room's reads are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from django.db import models
from django.db.models import Exists, OuterRef

from annotation.states import CampaignState, LeaseState

if TYPE_CHECKING:
    from annotation.models import Campaign, Completion, Exclusion, Labeler, Lease, Prompt, Ranking, Task  # noqa: F401

TAKEN = (LeaseState.ACTIVE, LeaseState.SUBMITTED, LeaseState.SKIPPED)
"""A task is not offered again to a labeler who holds, has submitted or has skipped it."""


class CampaignQuerySet(models.QuerySet["Campaign"]):
    def open(self) -> Self:
        return self.filter(state=CampaignState.OPEN)

    def not_archived(self) -> Self:
        return self.exclude(state=CampaignState.ARCHIVED)


class TaskQuerySet(models.QuerySet["Task"]):
    def not_archived(self) -> Self:
        return self.filter(archived_at__isnull=True)

    def open(self) -> Self:
        """Tasks with a slot to hand out; those with a known order have none."""
        return self.not_archived().filter(free_slots__gt=0, role="work")

    def not_ranked_by(self, labeler: Labeler) -> Self:
        """Tasks that may be offered to the labeler: no live, submitted or skipped lease of theirs and no ranking."""
        return self._not_met(labeler=labeler)

    def not_ranked_by_user(self, user_id: int | None) -> Self:
        """`not_ranked_by` for the labelers who stand for this person."""
        return self._not_met(labeler__user_id=user_id)

    def _not_met(self, **labeler: Any) -> Self:
        from annotation.models import Lease, Ranking

        leases = Lease.objects.filter(task=OuterRef("pk"), state__in=TAKEN, **labeler)
        rankings = Ranking.objects.filter(task=OuterRef("pk"), **labeler)
        return self.filter(~Exists(leases), ~Exists(rankings))

    def in_queue_order(self) -> Self:
        return self.order_by("priority", "pk")


class LeaseQuerySet(models.QuerySet["Lease"]):
    def active(self) -> Self:
        return self.filter(state=LeaseState.ACTIVE)


class ExclusionQuerySet(models.QuerySet["Exclusion"]):
    def in_force(self) -> Self:
        return self.filter(lifted_at__isnull=True)


class RankingQuerySet(models.QuerySet["Ranking"]):
    def current(self) -> Self:
        """Those that no revision has replaced and that were not taken back."""
        return self.filter(superseded_by__isnull=True, withdrawn_at__isnull=True)

    def counted(self) -> Self:
        """Current ones of labelers who are not set aside in the ranking's campaign: what models and figures rest on."""
        from annotation.models import Exclusion

        aside = Exclusion.objects.in_force().filter(campaign=OuterRef("task__campaign"), labeler=OuterRef("labeler"))
        return self.current().filter(~Exists(aside))
