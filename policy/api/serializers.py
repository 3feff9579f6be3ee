from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotation.models import Split
from policy.models import Checkpoint, Follow, Lineage, WinRateStudy
from policy.services import win_rate


class SeedField(serializers.IntegerField):
    """What every run takes: 0 to 2^63 - 1, 0 if left out."""

    def __init__(self) -> None:
        super().__init__(min_value=0, max_value=2**63 - 1, default=0)


class LineageSerializer(serializers.ModelSerializer[Lineage]):
    id = serializers.UUIDField(source="public_id", read_only=True)

    class Meta:
        model = Lineage
        fields = ["id", "name", "created_at"]


class CheckpointSerializer(serializers.ModelSerializer[Checkpoint]):
    id = serializers.UUIDField(source="public_id", read_only=True)
    uri = serializers.CharField(read_only=True)
    lineage = serializers.UUIDField(source="lineage.public_id", read_only=True)
    parent = serializers.UUIDField(  # type: ignore[assignment]  # a field by the name of an attribute of Field
        source="parent.public_id", read_only=True, default=None
    )
    run = serializers.UUIDField(source="run.public_id", read_only=True, default=None)
    reward_model = serializers.UUIDField(source="reward_model.public_id", read_only=True, default=None)

    class Meta:
        model = Checkpoint
        fields = [
            "id",
            "uri",
            "lineage",
            "number",
            "parent",
            "run",
            "reward_model",
            "base_label",
            "source_uri",
            "licence",
            "sha256",
            "num_bytes",
            "metrics",
            "created_at",
        ]


class ImportSerializer(serializers.Serializer[None]):
    uri = serializers.CharField(max_length=300, help_text="hf:org/name[@rev], file:path or pypi:package.")
    lineage = serializers.CharField(max_length=120)


class SampleSerializer(serializers.Serializer[None]):
    campaign = serializers.UUIDField()
    checkpoints = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=8)
    per_prompt = serializers.IntegerField(min_value=1, max_value=64, default=4)
    splits = serializers.ListField(
        child=serializers.ChoiceField(choices=Split.choices), default=[Split.TRAIN, Split.VALIDATION]
    )
    config = serializers.DictField(required=False, help_text="Fields of SampleConfig that differ from the defaults.")
    seed = SeedField()


class PPOSerializer(serializers.Serializer[None]):
    reward_model = serializers.UUIDField()
    campaign = serializers.UUIDField()
    config = serializers.DictField(required=False, help_text="Fields of PPOConfig that differ from the defaults.")
    seed = SeedField()


class DPOSerializer(serializers.Serializer[None]):
    snapshot = serializers.UUIDField()
    config = serializers.DictField(required=False, help_text="Fields of DPOConfig that differ from the defaults.")
    seed = SeedField()


class SFTSerializer(serializers.Serializer[None]):
    snapshot = serializers.UUIDField()
    config = serializers.DictField(required=False, help_text="Fields of SFTConfig that differ from the defaults.")
    seed = SeedField()


class FollowSerializer(serializers.ModelSerializer[Follow]):
    campaign = serializers.UUIDField(source="campaign.public_id")
    lineage = serializers.UUIDField(source="lineage.public_id")

    class Meta:
        model = Follow
        fields = [
            "campaign",
            "lineage",
            "completions_per_prompt",
            "max_prompts",
            "max_new_tokens",
            "temperature",
            "is_active",
            "created_at",
        ]
        read_only_fields = ["is_active", "created_at"]
        validators: list[Any] = []


class FollowEndSerializer(serializers.Serializer[None]):
    campaign = serializers.UUIDField()
    lineage = serializers.UUIDField()


class WinRateSerializer(serializers.Serializer[Any]):
    mean = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)
    num_prompts = serializers.IntegerField()
    num_comparisons = serializers.IntegerField()
    num_open = serializers.IntegerField()


class StudySerializer(serializers.ModelSerializer[WinRateStudy]):
    id = serializers.UUIDField(source="public_id", read_only=True)
    campaign = serializers.UUIDField(source="campaign.public_id", read_only=True)
    candidate = serializers.UUIDField(source="candidate.public_id", read_only=True)
    baseline = serializers.UUIDField(source="baseline.public_id", read_only=True)
    run = serializers.UUIDField(source="run.public_id", read_only=True, default=None)

    class Meta:
        model = WinRateStudy
        fields = ["id", "campaign", "candidate", "baseline", "run", "seed", "created_at"]


class StudyDetailSerializer(StudySerializer):
    result = serializers.SerializerMethodField()

    class Meta(StudySerializer.Meta):
        fields = [*StudySerializer.Meta.fields, "result"]

    def get_result(self, study: WinRateStudy) -> WinRateSerializer:
        return WinRateSerializer(win_rate(study)._asdict()).data  # type: ignore[return-value]


class NewStudySerializer(serializers.Serializer[None]):
    campaign = serializers.UUIDField()
    candidate = serializers.UUIDField()
    baseline = serializers.UUIDField()
    per_prompt = serializers.IntegerField(min_value=1, max_value=16, default=1)
    config = serializers.DictField(required=False, help_text="Fields of SampleConfig that differ from the defaults.")
    seed = SeedField()
