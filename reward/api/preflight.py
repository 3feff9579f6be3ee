from __future__ import annotations

from typing import Any

from rest_framework import serializers

from reward.preflight import Preflight
from reward.preflight_page import sentences


class PartSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    bytes = serializers.IntegerField(source="num_bytes")


class PhaseSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    seconds = serializers.FloatField(help_text="By arithmetic, not corrected by earlier runs.")


class MachineSerializer(serializers.Serializer[Any]):
    host = serializers.CharField()
    device = serializers.CharField()
    name = serializers.CharField()
    cores = serializers.IntegerField()
    memory_bytes = serializers.IntegerField()
    swap_bytes = serializers.IntegerField()


class EstimateSerializer(serializers.Serializer[Preflight]):
    level = serializers.ChoiceField(
        choices=["unknown", "fits", "close", "exceeds", "cannot_fit"],
        help_text="Only a run that cannot_fit is refused.",
    )
    sentences = serializers.SerializerMethodField()
    machine = MachineSerializer(
        allow_null=True, help_text="The one with the least memory of those whose workers take such runs."
    )
    memory_bytes = serializers.IntegerField(source="estimate.memory_bytes", default=None, allow_null=True)
    certain_bytes = serializers.IntegerField(source="estimate.certain_bytes", default=None, allow_null=True)
    memory = PartSerializer(source="estimate.parts", many=True, default=[])
    seconds = serializers.FloatField(allow_null=True, help_text="Corrected by `num_earlier_runs` runs.")
    num_earlier_runs = serializers.IntegerField(source="ratio.num_runs")
    phases = PhaseSerializer(source="estimate.phases", many=True, default=None, allow_null=True)

    def get_sentences(self, found: Preflight) -> list[str]:
        return sentences(found)
