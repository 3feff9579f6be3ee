"""Labelers of a campaign: what holds their rankings, and whether these count."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.person import person
from annotation.access import get_campaign, get_labeler
from annotation.models import Exclusion, Labeler
from reward.labelers import Holding, Rebuilt, Version, holdings, set_labeler_aside, take_labeler_back


class ExclusionSerializer(serializers.ModelSerializer[Exclusion]):
    class Meta:
        model = Exclusion
        fields = ["reason", "created_at", "lifted_at"]


class HoldingVersionSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(source="version.public_id")
    number = serializers.IntegerField(source="version.number")
    reliability = serializers.FloatField(allow_null=True, help_text="As its training estimated it.")
    weight = serializers.FloatField(allow_null=True, help_text="Of their words in its training; null: 1.")
    runs = serializers.SerializerMethodField(help_text="PPO runs that learned from its scores.")

    def get_runs(self, row: Version) -> list[UUID]:
        return [run.public_id for run in row.runs]


class HoldingSerializer(serializers.Serializer[Any]):
    snapshot = serializers.UUIDField(source="snapshot.public_id")
    number = serializers.IntegerField(source="snapshot.number")
    num_rankings = serializers.IntegerField(help_text="Of this labeler, in the snapshot.")
    reward_models = HoldingVersionSerializer(source="versions", many=True)
    runs = serializers.SerializerMethodField(help_text="DPO and SFT runs that learned from it.")

    def get_runs(self, row: Holding) -> list[UUID]:
        return [run.public_id for run in row.runs]


class LabelerSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(source="labeler.public_id")
    name = serializers.CharField(source="labeler.name")
    kind = serializers.CharField(source="labeler.kind", help_text="human, simulated or imported")
    exclusions = ExclusionSerializer(many=True, help_text="Newest first; one not lifted is in force.")
    snapshots = HoldingSerializer(many=True)


class SetAsideSerializer(serializers.Serializer[None]):
    reason = serializers.CharField(max_length=500)


class RebuiltSerializer(serializers.Serializer[Any]):
    snapshot = serializers.UUIDField(
        source="snapshot.public_id", allow_null=True, default=None, help_text="The rankings as they count now."
    )
    refused = serializers.CharField(
        source="refused.code", allow_null=True, default=None, help_text="Why no snapshot could be frozen."
    )


class LabelerDetail(APIView):
    @extend_schema(responses=LabelerSerializer)
    def get(self, request: Request, public_id: UUID, labeler_id: UUID) -> Response:
        """Which snapshots, reward models and policies were made with a labeler's rankings."""
        campaign = get_campaign(request.user, public_id)
        labeler: Labeler = get_labeler(campaign, labeler_id)
        exclusions = campaign.exclusions.filter(labeler=labeler).order_by("-pk")
        found = {"labeler": labeler, "exclusions": exclusions, "snapshots": holdings(campaign, labeler)}
        return Response(LabelerSerializer(found).data)


class LabelerExclusion(APIView):
    @extend_schema(request=SetAsideSerializer, responses={201: RebuiltSerializer})
    def post(self, request: Request, public_id: UUID, labeler_id: UUID) -> Response:
        """Set a labeler aside: their rankings count no more, and a snapshot is frozen without them."""
        campaign = get_campaign(request.user, public_id, manage=True)
        asked = SetAsideSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        labeler = get_labeler(campaign, labeler_id)
        rebuilt = set_labeler_aside(
            campaign=campaign, labeler=labeler, by=person(request), reason=asked.validated_data["reason"]
        )
        return _told(rebuilt, status=201)

    @extend_schema(responses={200: RebuiltSerializer})
    def delete(self, request: Request, public_id: UUID, labeler_id: UUID) -> Response:
        """Take a labeler back: their rankings count again, and a snapshot is frozen with them."""
        campaign = get_campaign(request.user, public_id, manage=True)
        labeler = get_labeler(campaign, labeler_id)
        return _told(take_labeler_back(campaign=campaign, labeler=labeler, by=person(request)), status=200)


def _told(rebuilt: Rebuilt, *, status: int) -> Response:
    return Response(RebuiltSerializer(rebuilt).data, status=status)
