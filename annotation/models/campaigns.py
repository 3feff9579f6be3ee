"""Campaigns, the guidelines people work by, and the seats in them."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.models import PublicModel, User, Workspace
from annotation.protocols import Protocol
from annotation.querysets import CampaignQuerySet
from annotation.states import CampaignState


class Campaign(PublicModel):
    """A body of prompts whose answers a group of people ranks under one set of guidelines."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="campaigns")
    name = models.CharField(_("name"), max_length=120)
    state = models.CharField(max_length=10, choices=CampaignState, default=CampaignState.DRAFT)
    protocol = models.CharField(max_length=20, choices=Protocol, default=Protocol.RANKING)
    questions = models.JSONField(default=dict)
    """What is asked beside the order: `annotation.protocols.Questions` as JSON."""
    quality = models.JSONField(default=dict)
    """Gold, repeats, qualification and limits: `annotation.quality.QualityPlan` as JSON."""
    overlap = models.PositiveSmallIntegerField(_("rankings per task"), default=1)
    overlap_max = models.PositiveSmallIntegerField(_("rankings per task at most"), null=True, blank=True)
    """Where set, one more labeler is asked, up to so many, as long as one more can change a pair's order."""
    undo_minutes = models.PositiveSmallIntegerField(_("minutes to take a ranking back"), default=30)
    completions_per_task = models.PositiveSmallIntegerField(_("answers per task"), default=4)
    lease_seconds = models.PositiveIntegerField(_("lease, in seconds"), default=900)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True)

    objects = CampaignQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(overlap__gte=1, overlap__lte=50), name="campaign_overlap_1_to_50"),
            models.CheckConstraint(
                condition=Q(overlap_max__isnull=True) | Q(overlap_max__gte=F("overlap"), overlap_max__lte=50),
                name="campaign_overlap_max_to_50",
            ),
            models.CheckConstraint(condition=Q(undo_minutes__lte=1440), name="campaign_undo_up_to_a_day"),
            models.CheckConstraint(
                condition=Q(completions_per_task__gte=2, completions_per_task__lte=9), name="campaign_2_to_9_answers"
            ),
            models.CheckConstraint(
                condition=Q(lease_seconds__gte=30, lease_seconds__lte=86_400), name="campaign_lease_30s_to_a_day"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class GuidelineVersion(models.Model):
    """The text labelers worked by; append-only, each ranking names the version it was made under."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="guidelines")
    number = models.PositiveIntegerField()
    text = models.TextField(_("guidelines"), blank=True)
    asks_again = models.BooleanField(_("qualify again"), default=False)
    """Labelers who qualified under an earlier version qualify again before their next task."""
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["campaign", "number"], name="guideline_number_once")]

    def __str__(self) -> str:
        return f"{self.campaign} v{self.number}"


class MemberRole(models.TextChoices):
    LABELER = "labeler", _("Labeler")
    REVIEWER = "reviewer", _("Reviewer")


class Membership(models.Model):
    """A person's seat in a campaign."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="campaign_memberships")
    role = models.CharField(max_length=10, choices=MemberRole, default=MemberRole.LABELER)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["campaign", "user"], name="one_seat_per_campaign")]

    def __str__(self) -> str:
        return f"{self.user} in {self.campaign}"
