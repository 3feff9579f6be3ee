"""Prompts, answers and the tasks made of them."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple
from uuid import UUID

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import PublicModel
from accounts.statements import Given, Statement
from annotation.models.campaigns import Campaign
from annotation.querysets import TaskQuerySet


class Split(models.TextChoices):
    TRAIN = "train", _("Train")
    VALIDATION = "validation", _("Validation")
    TEST = "test", _("Test")


class Purpose(models.TextChoices):
    COLLECT = "collect", _("Collect preferences")
    RATE = "rate", _("Rate checkpoints")


class FinishReason(models.TextChoices):
    STOP = "stop", _("Finished")
    LENGTH = "length", _("Cut off")


class Prompt(PublicModel):
    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="prompts")
    messages = models.JSONField()
    """[{"role": "system" | "user" | "assistant", "content": str}, …]; the last is the user's."""
    content_sha256 = models.CharField(max_length=64)
    """SHA-256 of the messages as canonical JSON (sorted keys, no spaces, UTF-8)."""
    split = models.CharField(max_length=10, choices=Split, default=Split.TRAIN)
    category = models.CharField(max_length=60, blank=True)
    language = models.CharField(max_length=35, blank=True)
    """BCP 47; blank: not known, so for everybody."""
    skill = models.CharField(max_length=60, blank=True)
    """What a labeler must be good at to judge it; blank: nothing in particular."""
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


class TaskRole(models.TextChoices):
    WORK = "work", _("Work")
    GOLD = "gold", _("Gold")
    TRAINING = "training", _("Training")


class PlacedAnswer(NamedTuple):
    """What a labeler sees of an answer, and nothing else."""

    pk: int
    public_id: UUID
    text: str


class Task(PublicModel):
    """A prompt and K of its answers, to be ranked by `overlap` different labelers."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="tasks", db_index=False)
    """Its indexes are in the queue's order: with one by campaign alone, PostgreSQL sorts what it believes to be few."""
    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="tasks")
    completions = models.ManyToManyField(Completion, through="TaskCompletion", related_name="tasks")
    purpose = models.CharField(max_length=10, choices=Purpose, default=Purpose.COLLECT)
    role = models.CharField(max_length=10, choices=TaskRole, default=TaskRole.WORK)
    """Gold and training tasks have a known order, are for everybody and hand out no slots; see `Gold`."""
    language = models.CharField(max_length=35, blank=True)
    skill = models.CharField(max_length=60, blank=True)
    """The prompt's, where a claim can see them."""
    priority = models.IntegerField(default=100)
    """Lower is offered first."""
    overlap = models.PositiveSmallIntegerField()
    free_slots = models.SmallIntegerField()
    """Rankings still to be handed out: overlap − active leases that hold a slot − rankings that count."""
    returned_at = models.DateTimeField(null=True)
    """When a slot last came back or was added: labelers who are past this place look at it again."""
    is_order_fixed = models.BooleanField(default=False)
    """True: shown in `TaskCompletion.position` order (both-orders comparisons); False: shuffled for each lease."""
    archived_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    placed: list[dict[str, Any]] | None = None
    """As `TaskQuerySet.with_answers` read it; None: not read."""

    objects = TaskQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(free_slots__gte=0), name="task_free_slots_not_negative"),
            models.CheckConstraint(condition=Q(free_slots__lte=models.F("overlap")), name="task_free_slots_le_overlap"),
        ]
        indexes = [
            models.Index(fields=["campaign", "priority", "id"], name="task_order"),
            models.Index(
                fields=["campaign", "priority", "id"],
                condition=Q(free_slots__gt=0, archived_at__isnull=True, role="work"),
                name="task_claim",
            ),
            models.Index(
                fields=["campaign", "returned_at"],
                condition=Q(free_slots__gt=0, archived_at__isnull=True, role="work", returned_at__isnull=False),
                name="task_returned",
            ),
            models.Index(
                fields=["campaign", "role", "priority", "id"],
                condition=~Q(role="work") & Q(archived_at__isnull=True),
                name="task_with_known_order",
            ),
        ]

    @cached_property
    def placed_answers(self) -> list[PlacedAnswer]:
        """Its answers in the order of their places; read once for each object."""
        if self.placed is None:
            self.placed = PLACED.all(task=self.pk)[0].placed
        return [PlacedAnswer(row["id"], UUID(row["public_id"]), row["text"]) for row in self.placed or []]

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


PLACED = Statement(lambda: Task.objects.filter(pk=Given("task")).with_answers())


class Gold(models.Model):
    """The known order of a task's answers: checked in silence (gold) or shown after each ranking (training)."""

    task = models.OneToOneField(Task, on_delete=models.CASCADE, related_name="gold")
    ranks = models.JSONField()
    """Completion public id -> rank, 1 is best, equal is a tie; an answer that is left out is not checked."""
    explanation = models.TextField(_("explanation"), blank=True)
    """Markdown, shown after a training task."""

    def __str__(self) -> str:
        return f"Gold of {self.task}"
