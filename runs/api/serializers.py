from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from runs.comparison import SettingRow
from runs.models import Run, RunArtifact, RunNote, RunSample


class RunSerializer(serializers.ModelSerializer[Run]):
    """A run as lists show it."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    workspace = serializers.UUIDField(source="workspace.public_id", read_only=True)
    error = serializers.SerializerMethodField()

    class Meta:
        model = Run
        fields = [
            "id",
            "workspace",
            "kind",
            "title",
            "state",
            "seed",
            "attempt",
            "progress",
            "error",
            "created_at",
            "started_at",
            "finished_at",
            "cancel_requested_at",
        ]

    @extend_schema_field({"type": "object", "nullable": True, "properties": {"code": {}, "message": {}}})
    def get_error(self, run: Run) -> dict[str, str] | None:
        return {"code": run.error_code, "message": run.error_message} if run.error_code else None


class ArtifactSerializer(serializers.ModelSerializer[RunArtifact]):
    class Meta:
        model = RunArtifact
        fields = ["name", "sha256", "is_directory", "num_bytes"]


class NoteSerializer(serializers.ModelSerializer[RunNote]):
    class Meta:
        model = RunNote
        fields = ["level", "code", "message", "created_at"]


class RunSampleSerializer(serializers.ModelSerializer[RunSample]):
    class Meta:
        model = RunSample
        fields = ["step", "index", "prompt", "text", "values"]


class RunSampleQuerySerializer(serializers.Serializer[None]):
    step = serializers.IntegerField(required=False, min_value=0, help_text="Only answers at this step.")
    index = serializers.IntegerField(required=False, min_value=0, help_text="Only answers to this prompt, from 0.")


class RunDetailSerializer(RunSerializer):
    """A run with everything it was given and all that came of it."""

    artifacts = ArtifactSerializer(many=True, read_only=True)
    notes = NoteSerializer(many=True, read_only=True)

    class Meta(RunSerializer.Meta):
        fields = [
            *RunSerializer.Meta.fields,
            "config",
            "inputs",
            "code_version",
            "max_attempts",
            "heartbeat_at",
            "outcome",
            "artifacts",
            "notes",
        ]


class LogSerializer(serializers.Serializer[Any]):
    log = serializers.CharField(read_only=True)


class ComparedRunSerializer(serializers.Serializer[Any]):
    run = RunSerializer(read_only=True)
    outcome = serializers.JSONField(source="run.outcome", read_only=True)
    metrics = serializers.DictField(read_only=True, help_text="As `/runs/{id}/metrics/` tells them.")


class SettingRowSerializer(serializers.Serializer[SettingRow]):
    name = serializers.CharField(read_only=True, help_text="The path in the config, as `lora.rank`.")
    values = serializers.SerializerMethodField(help_text="By run; one that has no such setting is not named.")

    @extend_schema_field({"type": "object"})
    def get_values(self, row: SettingRow) -> dict[str, Any]:
        cells = zip(self.context["runs"], row.cells, strict=True)
        return {str(run.public_id): cell.value for run, cell in cells if cell.is_given}


class ComparisonSerializer(serializers.Serializer[Any]):
    """Several runs side by side, and their settings: those that differ, those of some runs only, those of all alike."""

    runs = ComparedRunSerializer(many=True, read_only=True)
    differing = SettingRowSerializer(many=True, read_only=True)
    of_some = SettingRowSerializer(many=True, read_only=True)
    same = SettingRowSerializer(many=True, read_only=True)
