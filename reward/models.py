"""Frozen datasets of preferences and the reward models trained on them."""

from __future__ import annotations

from django.db import models

from accounts.models import PublicModel, User, Workspace
from annotation.models import Campaign, Completion, Ranking
from runs.models import Run


class Snapshot(PublicModel):
    """The rankings of a campaign as they stood at one moment; its rows and its hash never change."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="snapshots")
    campaign = models.ForeignKey(Campaign, on_delete=models.PROTECT, related_name="snapshots")
    number = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64)
    """Of groups.jsonl in the artifact store: the same rankings give the same hash."""
    rankings = models.ManyToManyField(Ranking, related_name="snapshots")
    num_rankings = models.PositiveIntegerField()
    num_groups = models.PositiveIntegerField()
    num_pairs = models.PositiveIntegerField()
    num_heldout_pairs = models.PositiveIntegerField()
    agreement_alpha = models.FloatField(null=True)
    """Krippendorff's alpha over pairs; null where nothing was judged twice."""
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["campaign", "number"], name="snapshot_number_once")]

    def __str__(self) -> str:
        return f"{self.campaign.name} #{self.number}"


class RewardModel(PublicModel):
    """A version of a reward model: weights by hash, the data it learned from, and how it did on held-out prompts."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="reward_models")
    number = models.PositiveIntegerField()
    run = models.OneToOneField(Run, on_delete=models.PROTECT, related_name="reward_model")
    snapshot = models.ForeignKey(Snapshot, on_delete=models.PROTECT, related_name="reward_models")
    base_uri = models.CharField(max_length=200)
    base_label = models.CharField(max_length=200)
    sha256 = models.CharField(max_length=64)
    """Of the model directory's manifest in the artifact store."""
    metrics = models.JSONField(default=dict)
    evaluation = models.JSONField(default=dict)
    """evaluation.json of the run (`reward.training.report`); empty for versions trained before there was one."""
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "number"], name="reward_model_number_once")]

    def __str__(self) -> str:
        return f"RM {self.number}"

    @property
    def num_heads(self) -> int:
        """Heads that its run trained; 1 for versions trained before there could be more."""
        return int(self.run.config.get("heads", 1))


class Explanation(PublicModel):
    """Where a version's score of an answer comes from; there as soon as somebody asked, filled in by its run."""

    version = models.ForeignKey(RewardModel, on_delete=models.PROTECT, related_name="explanations")
    completion = models.ForeignKey(Completion, on_delete=models.CASCADE, related_name="explanations")
    run = models.OneToOneField(Run, on_delete=models.PROTECT, related_name="explanation")
    """The newest that was started for it."""
    payload = models.JSONField(null=True)
    """explanation.json as `reward.training.explain_job` writes it; null until the run has succeeded."""
    sha256 = models.CharField(max_length=64, blank=True)
    """Of explanation.json in the artifact store."""
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["version", "completion"], name="explanation_once")]

    def __str__(self) -> str:
        return f"{self.version}: {self.completion}"

    @property
    def is_live(self) -> bool:
        """Whether its run still has something to tell."""
        return self.payload is None and not self.run.is_finished


class Score(models.Model):
    """What a version makes of an answer; scoring it again replaces the row's figures."""

    version = models.ForeignKey(RewardModel, on_delete=models.PROTECT, related_name="scores")
    completion = models.ForeignKey(Completion, on_delete=models.CASCADE, related_name="scores")
    score = models.FloatField()
    """In reward units; the mean of the heads'."""
    spread = models.FloatField(null=True)
    """Standard deviation (n - 1) of the heads' scores, in reward units; null for a version with one head."""
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["version", "completion"], name="score_once")]
        indexes = [
            models.Index(fields=["version", "-score", "-id"], name="score_highest"),
            models.Index(fields=["version", "-spread", "-id"], name="score_least_sure"),
        ]

    def __str__(self) -> str:
        return f"{self.version}: {self.score:+.2f}"
