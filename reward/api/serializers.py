from __future__ import annotations

from rest_framework import serializers

from reward.models import RewardModel, Snapshot


class SnapshotSerializer(serializers.ModelSerializer[Snapshot]):
    id = serializers.UUIDField(source="public_id", read_only=True)
    campaign = serializers.UUIDField(source="campaign.public_id", read_only=True)

    class Meta:
        model = Snapshot
        fields = [
            "id",
            "campaign",
            "number",
            "sha256",
            "num_rankings",
            "num_groups",
            "num_pairs",
            "num_heldout_pairs",
            "agreement_alpha",
            "created_at",
        ]


class FreezeSerializer(serializers.Serializer[None]):
    campaign = serializers.UUIDField()


class TrainSerializer(serializers.Serializer[None]):
    base = serializers.CharField(max_length=300, help_text="Model URI, as checkpoint:<id>.")
    config = serializers.DictField(required=False, help_text="Fields of RewardConfig that differ from the defaults.")
    seed = serializers.IntegerField(min_value=0, max_value=2**63 - 1, default=0)


class CoupleSerializer(serializers.Serializer[None]):
    preferred = serializers.UUIDField()
    rejected = serializers.UUIDField()


class AskAgainSerializer(serializers.Serializer[None]):
    couples = CoupleSerializer(many=True, help_text="Among the evaluation's `disagreements`.")


class AskedAgainSerializer(serializers.Serializer[None]):
    num_tasks = serializers.IntegerField()


class RewardModelSerializer(serializers.ModelSerializer[RewardModel]):
    id = serializers.UUIDField(source="public_id", read_only=True)
    run = serializers.UUIDField(source="run.public_id", read_only=True)
    snapshot = serializers.UUIDField(source="snapshot.public_id", read_only=True)

    class Meta:
        model = RewardModel
        fields = ["id", "number", "run", "snapshot", "base_uri", "base_label", "sha256", "metrics", "created_at"]
