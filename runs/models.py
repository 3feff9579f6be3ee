"""A run: one training, sampling or import process, from request to outcome."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import PublicModel, User, Workspace
from runs.states import FINISHED, RunState


class Run(PublicModel):
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="runs")
    kind = models.CharField(max_length=40)
    """Name of a registered `RunKind`, as `policy.ppo`."""
    title = models.CharField(_("title"), max_length=200)
    config = models.JSONField()
    """The kind's config dataclass as JSON, frozen at creation."""
    seed = models.PositiveBigIntegerField(default=0)
    code_version = models.CharField(max_length=80, blank=True)
    inputs = models.JSONField(default=dict)
    """name -> {"sha256": manifest or file hash in the artifact store, "type": "dir" | "file", "label": text}."""
    context = models.JSONField(default=dict)
    """What the kind's `on_outcome` needs to find its way back: public ids of its own rows. `runs` never reads it."""
    state = models.CharField(max_length=10, choices=RunState, default=RunState.QUEUED)
    attempt = models.PositiveIntegerField(default=0)
    max_attempts = models.PositiveSmallIntegerField(default=3)
    expected_seconds = models.FloatField(null=True)
    """By arithmetic before it began, not corrected by earlier runs; null where nothing could be told."""
    worker = models.CharField(max_length=120, blank=True)
    heartbeat_at = models.DateTimeField(null=True)
    cancel_requested_at = models.DateTimeField(null=True)
    progress = models.JSONField(default=dict)
    """Last progress event: {"phase", "done", "total", "unit", "eta_seconds"}."""
    error_code = models.CharField(max_length=60, blank=True)
    error_message = models.TextField(blank=True)
    outcome = models.JSONField(null=True)
    """The process's outcome.json once finished: metrics, seconds, peak_rss_mib."""
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["workspace", "-created_at"]),
            models.Index(fields=["state"], condition=Q(state__in=["queued", "running"]), name="run_unfinished"),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def is_finished(self) -> bool:
        return self.state in FINISHED


class Machine(models.Model):
    """What the worker of a queue told of its machine when it last started."""

    host = models.CharField(max_length=120)
    queue = models.CharField(max_length=40)
    device = models.CharField(max_length=40)
    """As PyTorch names it; memory and speeds are the device's."""
    name = models.CharField(max_length=120)
    """Of the processor or the card."""
    cores = models.PositiveIntegerField()
    threads = models.PositiveIntegerField()
    memory_bytes = models.PositiveBigIntegerField()
    swap_bytes = models.PositiveBigIntegerField(default=0)
    has_bfloat16 = models.BooleanField(default=False)
    speeds = models.JSONField(default=dict)
    """number format -> [{"rows", "matrices", "seconds"}], as `reward.training.machine` measures them."""
    measured_at = models.DateTimeField()
    """When the speeds were; what was expected of earlier runs goes by others."""
    seen_at = models.DateTimeField()
    """When its worker last started or took a run."""

    class Meta:
        constraints = [models.UniqueConstraint(fields=["host", "queue"], name="machine_once_per_queue")]

    def __str__(self) -> str:
        return self.host


class RunMetric(models.Model):
    """One value of one metric at one step; a resumed run overwrites what its lost steps had written."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="metrics")
    step = models.PositiveIntegerField()
    name = models.CharField(max_length=80)
    value = models.FloatField(null=True)
    """Null where the process reported a non-finite number."""

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "step", "name"], name="metric_once_per_step")]
        indexes = [models.Index(fields=["run", "name", "step"])]

    def __str__(self) -> str:
        return f"{self.name}[{self.step}]"


class RunSample(models.Model):
    """An answer that a process wanted people to read: to the same prompt `index` at each step that has samples."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="samples")
    step = models.PositiveIntegerField()
    index = models.PositiveSmallIntegerField()
    prompt = models.TextField()
    text = models.TextField(blank=True)
    values = models.JSONField(default=dict)
    """name -> number, or null where it was not finite; named as metrics are."""

    class Meta:
        ordering = ["step", "index"]
        constraints = [models.UniqueConstraint(fields=["run", "step", "index"], name="sample_once_per_step")]

    def __str__(self) -> str:
        return f"{self.index}[{self.step}]"


class RunNote(models.Model):
    """A sentence that a process wanted people to read."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="notes")
    level = models.CharField(max_length=10, default="info")
    code = models.CharField(max_length=60, blank=True)
    message = models.TextField()
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["created_at", "pk"]

    def __str__(self) -> str:
        return self.message


class RunArtifact(models.Model):
    """A file or directory that a run left in the artifact store."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="artifacts")
    name = models.CharField(max_length=80)
    sha256 = models.CharField(max_length=64)
    """Of the file, or of the directory's manifest."""
    is_directory = models.BooleanField(default=False)
    num_bytes = models.PositiveBigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "name"], name="artifact_once_per_run")]

    def __str__(self) -> str:
        return self.name
