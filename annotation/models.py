"""Campaigns, the people in them, prompts and answers, the queue and what people said."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import PublicModel, User, Workspace
from annotation.querysets import CampaignQuerySet, ExclusionQuerySet, LeaseQuerySet, RankingQuerySet, TaskQuerySet
from annotation.states import CampaignState, LeaseState


class Split(models.TextChoices):
    TRAIN = "train", _("Train")
    VALIDATION = "validation", _("Validation")
    TEST = "test", _("Test")


class Protocol(models.TextChoices):
    RANKING = "ranking", _("Ranking with ties")


class Purpose(models.TextChoices):
    COLLECT = "collect", _("Collect preferences")
    RATE = "rate", _("Rate checkpoints")


class LabelerKind(models.TextChoices):
    HUMAN = "human", _("Person")
    SIMULATED = "simulated", _("Simulated")
    IMPORTED = "imported", _("Imported")


class FinishReason(models.TextChoices):
    STOP = "stop", _("Finished")
    LENGTH = "length", _("Cut off")


class Campaign(PublicModel):
    """A body of prompts whose answers a group of people ranks under one set of guidelines."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="campaigns")
    name = models.CharField(_("name"), max_length=120)
    state = models.CharField(max_length=10, choices=CampaignState, default=CampaignState.DRAFT)
    protocol = models.CharField(max_length=20, choices=Protocol, default=Protocol.RANKING)
    overlap = models.PositiveSmallIntegerField(_("rankings per task"), default=1)
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


class Prompt(PublicModel):
    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="prompts")
    messages = models.JSONField()
    """[{"role": "system" | "user" | "assistant", "content": str}, …]; the last is the user's."""
    content_sha256 = models.CharField(max_length=64)
    """SHA-256 of the messages as canonical JSON (sorted keys, no spaces, UTF-8)."""
    split = models.CharField(max_length=10, choices=Split, default=Split.TRAIN)
    category = models.CharField(max_length=60, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["campaign", "content_sha256"], name="prompt_once_per_campaign")]
        indexes = [models.Index(fields=["campaign", "split"])]

    def __str__(self) -> str:
        return self.text[:60]

    @property
    def text(self) -> str:
        """The last message: what the answers reply to."""
        return str(self.messages[-1]["content"])


class Completion(PublicModel):
    """One answer to a prompt."""

    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="completions")
    text = models.TextField()
    token_ids = models.JSONField(null=True)
    """Response token ids including a final EOS; null for imported text."""
    tokenizer_sha256 = models.CharField(max_length=64, blank=True)
    finish_reason = models.CharField(max_length=10, choices=FinishReason, blank=True)
    source = models.CharField(max_length=120)
    """Who wrote it: `checkpoint:<uuid>`, `import:<name>`, `human:<uuid>`. Never shown to labelers."""
    sample_index = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["prompt", "source", "sample_index"], name="completion_once_per_sample")
        ]

    def __str__(self) -> str:
        return self.text[:60]


class Task(PublicModel):
    """A prompt and K of its answers, to be ranked by `overlap` different labelers."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="tasks")
    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="tasks")
    completions = models.ManyToManyField(Completion, through="TaskCompletion", related_name="tasks")
    purpose = models.CharField(max_length=10, choices=Purpose, default=Purpose.COLLECT)
    priority = models.IntegerField(default=100)
    """Lower is offered first."""
    overlap = models.PositiveSmallIntegerField()
    free_slots = models.SmallIntegerField()
    """Rankings still to be handed out: overlap − active leases − rankings."""
    is_order_fixed = models.BooleanField(default=False)
    """True: shown in `TaskCompletion.position` order (both-orders comparisons); False: shuffled for each lease."""
    archived_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TaskQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(free_slots__gte=0), name="task_free_slots_not_negative"),
            models.CheckConstraint(condition=Q(free_slots__lte=models.F("overlap")), name="task_free_slots_le_overlap"),
        ]
        indexes = [
            models.Index(
                fields=["campaign", "priority", "id"],
                condition=Q(free_slots__gt=0, archived_at__isnull=True),
                name="task_claim",
            )
        ]

    def __str__(self) -> str:
        return f"Task {self.public_id}"


class TaskCompletion(models.Model):
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="items")
    completion = models.ForeignKey(Completion, on_delete=models.CASCADE, related_name="task_items")
    position = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["task", "completion"], name="completion_once_per_task"),
            models.UniqueConstraint(fields=["task", "position"], name="position_once_per_task"),
        ]

    def __str__(self) -> str:
        return f"{self.task_id}/{self.position}"


class Lease(PublicModel):
    """A labeler's hold on one slot of a task, for minutes; a heartbeat renews it."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="leases")
    labeler = models.ForeignKey(Labeler, on_delete=models.CASCADE, related_name="leases")
    repeat = models.PositiveSmallIntegerField(default=0)
    state = models.CharField(max_length=10, choices=LeaseState, default=LeaseState.ACTIVE)
    shown = models.JSONField()
    """Completion public ids in the order shown to this labeler."""
    draft = models.JSONField(null=True)
    skip_reason = models.CharField(max_length=200, blank=True)
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
            models.Index(fields=["labeler", "state"], name="lease_by_labeler"),
        ]

    def __str__(self) -> str:
        return f"Lease {self.public_id}"


class Ranking(PublicModel):
    """What one labeler said about one task. Append-only: a revision supersedes, nothing is edited."""

    lease = models.OneToOneField(Lease, on_delete=models.PROTECT, related_name="ranking", null=True)
    """The idempotency key of a submit; null for an imported ranking."""
    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="rankings")
    labeler = models.ForeignKey(Labeler, on_delete=models.PROTECT, related_name="rankings")
    repeat = models.PositiveSmallIntegerField(default=0)
    protocol = models.CharField(max_length=20, choices=Protocol)
    guideline_version = models.ForeignKey(
        GuidelineVersion, on_delete=models.PROTECT, related_name="rankings", null=True
    )
    active_seconds = models.FloatField(null=True)
    """Seconds the labeler spent on it with the page in view."""
    strength = models.PositiveSmallIntegerField(null=True)
    none_acceptable = models.BooleanField(default=False)
    rationale = models.TextField(blank=True)
    body_sha256 = models.CharField(max_length=64)
    superseded_by = models.OneToOneField("self", on_delete=models.PROTECT, null=True, related_name="supersedes")
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    objects = RankingQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["task", "labeler", "repeat"],
                condition=Q(superseded_by__isnull=True),
                name="one_current_ranking_per_labeler",
            )
        ]

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
