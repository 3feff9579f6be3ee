"""Leases, what was said under them, and what people report."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import PublicModel, User
from annotation.models.campaigns import GuidelineVersion
from annotation.models.content import Completion, Task
from annotation.models.people import Labeler
from annotation.protocols import Protocol
from annotation.querysets import LeaseQuerySet, RankingQuerySet
from annotation.states import LeaseState


class SkipReason(models.TextChoices):
    UNCLEAR_PROMPT = "unclear_prompt", _("The prompt is unclear")
    NO_EXPERTISE = "no_expertise", _("I do not know enough about this")
    UNCOMFORTABLE = "uncomfortable", _("I would rather not read this")
    BROKEN = "broken", _("Something on the page is broken")
    OTHER = "other", _("Another reason")


class Lease(PublicModel):
    """A labeler's hold on one slot of a task, for minutes; a heartbeat renews it."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="leases")
    labeler = models.ForeignKey(Labeler, on_delete=models.CASCADE, related_name="leases", db_index=False)
    repeat = models.PositiveSmallIntegerField(default=0)
    """0: the first time. A planned repeat and a new attempt at a training task count on from 1."""
    # Without a constraint: every claim would lock the one row that all labelers share.
    guideline_version = models.ForeignKey(
        GuidelineVersion, on_delete=models.PROTECT, related_name="leases", null=True, db_constraint=False
    )
    """Those that stood when it was handed out: on the labeler's screen, and on the ranking."""
    takes_slot = models.BooleanField(default=True)
    """False for gold, training, repeats and revisions: they are beside the task's overlap."""
    revises = models.ForeignKey("Ranking", on_delete=models.PROTECT, null=True, related_name="revisions")
    """The ranking that was taken up again; it stands until the lease is submitted."""
    state = models.CharField(max_length=10, choices=LeaseState, default=LeaseState.ACTIVE)
    shown = models.JSONField()
    """Completion public ids in the order shown to this labeler."""
    draft = models.JSONField(null=True)
    skip_reason = models.CharField(max_length=200, blank=True)
    """A `SkipReason`; words of the labeler's own where it was skipped before there were any."""
    skip_note = models.CharField(max_length=1000, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    objects = LeaseQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["task", "labeler", "repeat"], condition=Q(state="active"), name="one_active_lease_per_task"
            ),
        ]
        indexes = [
            models.Index(fields=["expires_at"], condition=Q(state="active"), name="lease_expiry"),
            models.Index(fields=["labeler"], condition=Q(state="active"), name="lease_held"),
            # In place of one by labeler alone: a claim that asks whether they met a task could read all they did by it.
            models.Index(fields=["labeler", "task"], name="lease_met"),
        ]

    def __str__(self) -> str:
        return f"Lease {self.public_id}"


class Ranking(PublicModel):
    """What one labeler said about one task. Append-only: a revision supersedes, nothing is edited."""

    lease = models.OneToOneField(Lease, on_delete=models.PROTECT, related_name="ranking", null=True)
    """The idempotency key of a submit; null for an imported ranking."""
    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="rankings")
    labeler = models.ForeignKey(Labeler, on_delete=models.PROTECT, related_name="rankings", db_index=False)
    repeat = models.PositiveSmallIntegerField(default=0)
    protocol = models.CharField(max_length=20, choices=Protocol)
    guideline_version = models.ForeignKey(
        GuidelineVersion, on_delete=models.PROTECT, related_name="rankings", null=True
    )
    active_seconds = models.FloatField(null=True)
    """Seconds the labeler spent on it with the page in view."""
    strength = models.PositiveSmallIntegerField(null=True)
    none_acceptable = models.BooleanField(default=False)
    prompt_flags = models.JSONField(default=list)
    rationale = models.TextField(blank=True)
    body_sha256 = models.CharField(max_length=64)
    superseded_by = models.OneToOneField("self", on_delete=models.PROTECT, null=True, related_name="supersedes")
    gold_score = models.FloatField(null=True)
    """Of a task with a known order: share of its decided pairs that were ranked the same way, in [0, 1]."""
    withdrawn_at = models.DateTimeField(null=True)
    """Taken back by the labeler; it counts for nothing."""
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    objects = RankingQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["task", "labeler", "repeat"],
                condition=Q(superseded_by__isnull=True, withdrawn_at__isnull=True),
                name="one_current_ranking_per_labeler",
            )
        ]
        # In place of one by labeler alone, as with leases.
        indexes = [models.Index(fields=["labeler", "task"], name="ranking_met")]

    def __str__(self) -> str:
        return f"Ranking {self.public_id}"


class RankingItem(models.Model):
    ranking = models.ForeignKey(Ranking, on_delete=models.CASCADE, related_name="items")
    completion = models.ForeignKey(Completion, on_delete=models.PROTECT, related_name="ranking_items")
    position_shown = models.PositiveSmallIntegerField()
    rank = models.PositiveSmallIntegerField(null=True)
    """Dense, 1 is best, equal ranks are a tie; null: the labeler could not rank it."""
    unrankable_reason = models.CharField(max_length=200, blank=True)
    rating = models.PositiveSmallIntegerField(null=True)
    flags = models.JSONField(default=list)
    seen_seconds = models.FloatField(null=True)
    """Seconds with the answer in view."""
    rewrite = models.ForeignKey(Completion, on_delete=models.PROTECT, null=True, related_name="rewrites_of")
    """The labeler's own better version, a demonstration for fine-tuning."""

    class Meta:
        ordering = ["position_shown"]
        constraints = [
            models.UniqueConstraint(fields=["ranking", "completion"], name="completion_once_per_ranking"),
            models.CheckConstraint(condition=Q(rank__isnull=True) | Q(rank__gte=1), name="rank_from_1"),
            models.CheckConstraint(
                condition=Q(rating__isnull=True) | Q(rating__gte=1, rating__lte=7), name="rating_1_to_7"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.completion_id}: {self.rank}"


class ReportKind(models.TextChoices):
    BROKEN = "broken", _("Something is broken")
    PERSONAL_DATA = "personal_data", _("Somebody’s personal data")
    DISTRESSING = "distressing", _("Distressing or illegal content")
    GUIDELINES = "guidelines", _("The guidelines do not cover it")
    OTHER = "other", _("Something else")


class Report(PublicModel):
    """A task that a labeler brings to the manager's attention; the work itself goes on."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="reports")
    labeler = models.ForeignKey(Labeler, on_delete=models.PROTECT, related_name="reports")
    kind = models.CharField(max_length=20, choices=ReportKind)
    text = models.CharField(max_length=1000, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    resolved_at = models.DateTimeField(null=True)
    resolved_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta:
        indexes = [models.Index(fields=["task"], condition=Q(resolved_at__isnull=True), name="report_open")]

    def __str__(self) -> str:
        return f"{self.kind} on {self.task}"
