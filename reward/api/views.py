from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.access import RESEARCHES, STAFF, workspace_for
from accounts.api.person import person
from annotation.access import get_campaign
from reward.access import get_reward_model, get_snapshot, reward_models_seen_by, snapshots_seen_by
from reward.api.preflight import EstimateSerializer
from reward.api.serializers import (
    AskAgainSerializer,
    AskedAgainSerializer,
    FreezeSerializer,
    RewardModelSerializer,
    SnapshotSerializer,
    TrainSerializer,
)
from reward.models import RewardModel, Snapshot
from reward.services import ask_again, expect_training, freeze_snapshot, start_training
from runs.api.serializers import RunSerializer


class SnapshotList(generics.ListAPIView[Snapshot]):
    serializer_class = SnapshotSerializer
    queryset = Snapshot.objects.none()

    def get_queryset(self) -> QuerySet[Snapshot]:
        workspace_for(self.request.user, STAFF)
        return snapshots_seen_by(self.request.user)

    @extend_schema(request=FreezeSerializer, responses={201: SnapshotSerializer})
    def post(self, request: Request) -> Response:
        """Freeze a campaign's rankings as they stand now."""
        asked = FreezeSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        campaign = get_campaign(request.user, asked.validated_data["campaign"])
        workspace_for(request.user, RESEARCHES, campaign.workspace.public_id)
        snapshot = freeze_snapshot(campaign=campaign, by=person(request))
        return Response(SnapshotSerializer(snapshot).data, status=201)


class SnapshotDetail(generics.RetrieveAPIView[Snapshot]):
    serializer_class = SnapshotSerializer
    queryset = Snapshot.objects.none()

    def get_object(self) -> Snapshot:
        return get_snapshot(self.request.user, self.kwargs["public_id"])


class SnapshotTrain(APIView):
    @extend_schema(request=TrainSerializer, responses={201: RunSerializer})
    def post(self, request: Request, public_id: Any) -> Response:
        """Queue a reward-model run on the snapshot."""
        snapshot = get_snapshot(request.user, public_id, do=True)
        asked = TrainSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        run = start_training(
            snapshot=snapshot,
            by=person(request),
            base_uri=asked.validated_data["base"],
            config=asked.validated_data.get("config"),
            seed=asked.validated_data["seed"],
        )
        return Response(RunSerializer(run).data, status=201)


class SnapshotTrainEstimate(APIView):
    @extend_schema(request=TrainSerializer, responses={200: EstimateSerializer})
    def post(self, request: Request, public_id: Any) -> Response:
        """What such a run would need: memory, time, and whether a known machine can hold it. Starts nothing."""
        snapshot = get_snapshot(request.user, public_id, do=True)
        asked = TrainSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        found = expect_training(
            source=snapshot, base_uri=asked.validated_data["base"], config=asked.validated_data.get("config")
        )
        return Response(EstimateSerializer(found).data)


class RewardModelList(generics.ListAPIView[RewardModel]):
    serializer_class = RewardModelSerializer
    queryset = RewardModel.objects.none()

    def get_queryset(self) -> QuerySet[RewardModel]:
        workspace_for(self.request.user, STAFF)
        return reward_models_seen_by(self.request.user)


class RewardModelDetail(generics.RetrieveAPIView[RewardModel]):
    serializer_class = RewardModelSerializer
    queryset = RewardModel.objects.none()

    def get_object(self) -> RewardModel:
        return get_reward_model(self.request.user, self.kwargs["public_id"])


class RewardModelEvaluation(APIView):
    @extend_schema(responses={200: OpenApiTypes.OBJECT})
    def get(self, request: Request, public_id: Any) -> Response:
        """All that was measured on held-out prompts: floors, calibration, slices, disagreements, verdicts."""
        return Response(get_reward_model(request.user, public_id).evaluation)


class RewardModelAskAgain(APIView):
    @extend_schema(request=AskAgainSerializer, responses={201: AskedAgainSerializer})
    def post(self, request: Request, public_id: Any) -> Response:
        """Put disagreements between people and the model back into the labelling queue."""
        version = get_reward_model(request.user, public_id, do=True)
        asked = AskAgainSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        couples = [(str(each["preferred"]), str(each["rejected"])) for each in asked.validated_data["couples"]]
        made = ask_again(version=version, by=person(request), couples=couples)
        return Response({"num_tasks": made}, status=201)
