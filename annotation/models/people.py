"""Labelers: who said it, what they may be given, and whose word does not count."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import PublicModel, User, Workspace
from annotation.models.campaigns import Campaign, GuidelineVersion
from annotation.querysets import ExclusionQuerySet, ParticipationQuerySet


class LabelerKind(models.TextChoices):
    HUMAN = "human", _("Person")
    SIMULATED = "simulated", _("Simulated")
    IMPORTED = "imported", _("Imported")


class Labeler(PublicModel):
    """Who said it: a person with a login, a simulated judge, or a worker known only from an import."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="labelers")
    kind = models.CharField(max_length=10, choices=LabelerKind)
    user = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="labelers")
    name = models.CharField(max_length=120)
    persona = models.JSONField(default=dict)
    """Simulated labelers: {"name", "reliability", …}, read by `annotation.simulation`; empty for people."""
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "user"], condition=Q(user__isnull=False), name="one_labeler_per_user"
            ),
            models.UniqueConstraint(
                fields=["workspace", "kind", "name"], condition=~Q(kind="human"), name="labeler_name_once_per_kind"
            ),
            models.CheckConstraint(condition=Q(kind="human") | Q(user__isnull=True), name="only_humans_have_logins"),
        ]

    def __str__(self) -> str:
        return self.name


class Exclusion(models.Model):
    """A labeler whose rankings in a campaign count for nothing; lifted, never deleted. The rankings themselves stay."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="exclusions")
    labeler = models.ForeignKey(Labeler, on_delete=models.PROTECT, related_name="exclusions")
    reason = models.CharField(_("reason"), max_length=500)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    lifted_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    lifted_at = models.DateTimeField(null=True)

    objects = ExclusionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["campaign", "labeler"], condition=Q(lifted_at__isnull=True), name="one_exclusion_in_force"
            )
        ]

    def __str__(self) -> str:
        return f"{self.labeler} in {self.campaign}"


class Participation(models.Model):
    """A labeler's standing in a campaign. Its row is locked by every step of theirs there, so two tabs take turns."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="participations")
    labeler = models.ForeignKey(Labeler, on_delete=models.CASCADE, related_name="participations")
    languages = models.JSONField(default=list)
    """BCP 47 tags of what they read; empty: anything."""
    skills = models.JSONField(default=list)
    """Words that a task may ask for; a task that asks for none is for everybody."""
    num_submitted = models.PositiveIntegerField(default=0)
    """Rankings ever handed in here, gold and repeats too, revisions not."""
    day = models.DateField(null=True)
    num_day = models.PositiveIntegerField(default=0)
    """Of `num_submitted`, those of `day` (in UTC)."""
    passed_priority = models.IntegerField(null=True)
    passed_task = models.BigIntegerField(null=True)
    """The queue up to here (priority, key) holds nothing for them; null: not known. A claim looks behind it first."""
    looked_back_at = models.DateTimeField(null=True)
    """Of the slots that came back until then before that place, none is for them."""
    qualified_version = models.ForeignKey(GuidelineVersion, on_delete=models.SET_NULL, null=True, related_name="+")
    """The guidelines under which they qualified."""
    qualification_attempt = models.PositiveSmallIntegerField(default=0)
    """How often they have started over; the `repeat` of their leases on training tasks."""
    attempts_before = models.PositiveSmallIntegerField(default=0)
    """Of `qualification_attempt`, those that count no more: a manager let them try again, or the guidelines changed."""
    failed_at = models.DateTimeField(null=True)
    """When their last attempt was not enough; they get nothing until a manager lets them try again."""

    newest_guidelines: int | None = None
    """Key of the campaign's guidelines, where the standing was read by `lock_participation`."""

    objects = ParticipationQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["campaign", "labeler"], name="one_participation_per_campaign")]

    def __str__(self) -> str:
        return f"{self.labeler} in {self.campaign}"
