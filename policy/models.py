"""The checkpoint registry, who feeds which campaign, and how people rate checkpoints."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models import PublicModel, User, Workspace
from annotation.models import Campaign, Task
from reward.models import RewardModel
from runs.models import Run


class Lineage(PublicModel):
    """A base model and everything trained from it, step by step."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="lineages")
    name = models.CharField(_("name"), max_length=120)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="lineage_name_once")]

    def __str__(self) -> str:
        return self.name


class Checkpoint(PublicModel):
    """A policy's weights by hash, and where they came from."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="checkpoints")
    lineage = models.ForeignKey(Lineage, on_delete=models.PROTECT, related_name="checkpoints")
    number = models.PositiveIntegerField()
    """0 is the base; each child counts on."""
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="children")
    run = models.OneToOneField(Run, on_delete=models.PROTECT, null=True, related_name="checkpoint")
    reward_model = models.ForeignKey(RewardModel, on_delete=models.PROTECT, null=True, related_name="checkpoints")
    base_label = models.CharField(max_length=200)
    """What the base is called wherever it is shown, as "SmolLM2-135M-Instruct, Q4_1 dequantised"."""
    source_uri = models.CharField(max_length=300, blank=True)
    licence = models.CharField(max_length=60, blank=True)
    sha256 = models.CharField(max_length=64)
    """Of the model directory's manifest in the artifact store."""
    num_bytes = models.PositiveBigIntegerField(default=0)
    metrics = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["lineage", "number"], name="checkpoint_number_once")]

    def __str__(self) -> str:
        return f"{self.lineage.name} · {self.number}"

    @property
    def uri(self) -> str:
        return f"checkpoint:{self.public_id}"


class Follow(models.Model):
    """A campaign follows a lineage: each new checkpoint's answers enter that campaign's queue by themselves."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="follows")
    lineage = models.ForeignKey(Lineage, on_delete=models.CASCADE, related_name="follows")
    completions_per_prompt = models.PositiveSmallIntegerField(default=2)
    """Answers drawn from each of the new checkpoint and its parent."""
    max_prompts = models.PositiveIntegerField(default=64)
    max_new_tokens = models.PositiveIntegerField(default=128)
    temperature = models.FloatField(default=1.0)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["campaign", "lineage"], name="follow_once")]

    def __str__(self) -> str:
        return f"{self.campaign} follows {self.lineage}"


class WinRateStudy(PublicModel):
    """Candidate against baseline on test prompts, judged blind by people through the queue, in both orders."""

    campaign = models.ForeignKey(Campaign, on_delete=models.PROTECT, related_name="win_rate_studies")
    candidate = models.ForeignKey(Checkpoint, on_delete=models.PROTECT, related_name="win_rate_studies")
    baseline = models.ForeignKey(Checkpoint, on_delete=models.PROTECT, related_name="+")
    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="+", null=True)
    seed = models.PositiveBigIntegerField(default=0)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.candidate} vs {self.baseline}"


class WinRateTask(models.Model):
    """One comparison of a study; `is_candidate_first` says which answer stands first on the screen."""

    study = models.ForeignKey(WinRateStudy, on_delete=models.CASCADE, related_name="study_tasks")
    task = models.OneToOneField(Task, on_delete=models.CASCADE, related_name="win_rate_task")
    is_candidate_first = models.BooleanField()

    def __str__(self) -> str:
        return f"{self.study}: {self.task_id}"
