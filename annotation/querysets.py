"""The words in which the labelling room's reads are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from django.contrib.postgres.expressions import ArraySubquery
from django.db import models
from django.db.models import BooleanField, Case, Exists, F, Func, IntegerField, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import JSONObject
from django.db.models.lookups import GreaterThan, IsNull, LessThanOrEqual, Lookup

from annotation.states import CampaignState, LeaseState

if TYPE_CHECKING:
    from annotation.models import (  # noqa: F401
        Campaign,
        Completion,
        Exclusion,
        Labeler,
        Lease,
        Participation,
        Prompt,
        Ranking,
        Task,
    )

TAKEN = (LeaseState.ACTIVE, LeaseState.SUBMITTED, LeaseState.SKIPPED)
"""A task is not offered again to a labeler who holds, has submitted or has skipped it."""


def _place(*columns: F | Value | Func) -> Func:
    """A place in the queue; PostgreSQL compares rows column by column and finds them so in an index."""
    return Func(*columns, function="ROW", output_field=IntegerField())


def for_reader(participation: Participation) -> Q:
    """Whether a task is in a language that the labeler reads and of a skill that they have.

    A task without a language, and a labeler without one, fit anything. "pt" reads "pt-BR" too, "pt-BR" not "pt"
    (basic filtering, RFC 4647). A task that asks for a skill is only for those who have it.
    """
    has_skill = Q(skill__in=["", *participation.skills])
    if not participation.languages:
        return has_skill
    reads = Q(language="")
    for tag in participation.languages:
        reads |= Q(language=tag) | Q(language__startswith=f"{tag}-")
    return has_skill & reads


def unguessed(condition: Q | Lookup[Any]) -> Case:
    """The condition, of which PostgreSQL believes that it holds for half of all rows.

    What it believes of conditions that it has no figures of is that next to nothing is left, and that the whole queue
    is then best read and sorted. A claim is to walk the queue in its order and stop at the first.
    """
    return Case(When(condition, then=Value(True)), default=Value(False), output_field=BooleanField())


def unseen(value: Value) -> Func:
    """The value, which PostgreSQL does not look at when it plans, so that a prepared statement is planned once.

    A place far on in the queue has, as it believes, next to nothing after it, and a labeler whom its statistics do not
    know has met nothing. The plan made for that one value then looks so cheap beside the one made for all that it would
    plan each claim anew, at four times the cost of the claim.
    """
    return Func(value, template="(SELECT %(expressions)s)", output_field=IntegerField())


def placed_answers(task: OuterRef) -> ArraySubquery:
    """A task's answers in the order of their places, each as JSON of its keys and its text."""
    from annotation.models import TaskCompletion

    answer = JSONObject(id="completion", public_id="completion__public_id", text="completion__text")
    placed = TaskCompletion.objects.filter(task=task).order_by("position")
    return ArraySubquery(placed.values(answer=answer))


def _meetings(**labeler: Any) -> tuple[models.QuerySet[Any], models.QuerySet[Any]]:
    """Leases and rankings by which a labeler has met the task of the outer query."""
    from annotation.models import Lease, Ranking

    leases = Lease.objects.filter(task=OuterRef("pk"), state__in=TAKEN, **labeler)
    # A ranking that is not current any more was handed in under a lease.
    return leases, Ranking.objects.current().filter(task=OuterRef("pk"), **labeler)


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
        """Tasks that may be offered to the labeler: no live, submitted or skipped lease of theirs and no ranking.

        Asked of one task after the other as the queue is walked, never by reading all that the labeler did.
        """
        return self.not_met_by(Value(labeler.pk))

    def not_met_by(self, labeler_id: Value | Func) -> Self:
        met = (Subquery(rows.values("pk")[:1]) for rows in _meetings(labeler=labeler_id))
        return self.filter(*(unguessed(IsNull(first, True)) for first in met))

    def not_ranked_by_user(self, user_id: int | None) -> Self:
        """`not_ranked_by` for the labelers who stand for this person, where all tasks are counted."""
        return self.filter(*(~Exists(rows) for rows in _meetings(labeler__user_id=user_id)))

    def with_answers(self) -> Self:
        """With what `Task.placed_answers` is made of, so that it needs no query of its own."""
        return self.annotate(placed=placed_answers(OuterRef("pk")))

    def in_queue_order(self) -> Self:
        return self.order_by("priority", "pk")

    def after(self, priority: Value | Func, task_id: Value | Func) -> Self:
        """Tasks further on in the queue than this place."""
        return self.filter(GreaterThan(_place(F("priority"), F("pk")), _place(priority, task_id)))

    def up_to(self, priority: Value | Func, task_id: Value | Func) -> Self:
        """Tasks up to this place in the queue."""
        return self.filter(LessThanOrEqual(_place(F("priority"), F("pk")), _place(priority, task_id)))


class LeaseQuerySet(models.QuerySet["Lease"]):
    def active(self) -> Self:
        return self.filter(state=LeaseState.ACTIVE)


class ParticipationQuerySet(models.QuerySet["Participation"]):
    def with_newest_guidelines(self) -> Self:
        """With the key of the campaign's guidelines as they are now."""
        from annotation.models import GuidelineVersion

        versions = GuidelineVersion.objects.filter(campaign=OuterRef("campaign")).order_by("-number")
        return self.annotate(newest_guidelines=Subquery(versions.values("pk")[:1]))

    def past(self, priority: int, task_id: int) -> Self:
        """Of labelers who have come further in the queue than this place."""
        here = _place(Value(priority), Value(task_id))
        return self.filter(GreaterThan(_place(F("passed_priority"), F("passed_task")), here))


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
