from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from accounts.access import RESEARCHES, STAFF, workspace_for
from accounts.api.person import person
from annotation.access import get_campaign
from policy import services
from policy.access import (
    checkpoints_seen_by,
    follows_seen_by,
    get_checkpoint,
    get_lineage,
    get_study,
    lineages_seen_by,
    studies_seen_by,
)
from policy.api import serializers as s
from policy.models import Checkpoint, Follow, Lineage, WinRateStudy
from reward.access import get_reward_model
from reward.api.preflight import EstimateSerializer
from runs.api.serializers import RunSerializer


def _valid(serializer: type[Serializer[Any]], request: Request) -> dict[str, Any]:
    asked = serializer(data=request.data)
    asked.is_valid(raise_exception=True)
    return dict(asked.validated_data)


class LineageList(generics.ListAPIView[Lineage]):
    serializer_class = s.LineageSerializer
    queryset = Lineage.objects.none()

    def get_queryset(self) -> QuerySet[Lineage]:
        workspace_for(self.request.user, STAFF)
        return lineages_seen_by(self.request.user)


class CheckpointList(generics.ListAPIView[Checkpoint]):
    serializer_class = s.CheckpointSerializer
    queryset = Checkpoint.objects.none()

    def get_queryset(self) -> QuerySet[Checkpoint]:
        workspace_for(self.request.user, STAFF)
        return checkpoints_seen_by(self.request.user)


class CheckpointDetail(generics.RetrieveAPIView[Checkpoint]):
    serializer_class = s.CheckpointSerializer
    queryset = Checkpoint.objects.none()

    def get_object(self) -> Checkpoint:
        return get_checkpoint(self.request.user, self.kwargs["public_id"])


class CheckpointVerify(APIView):
    @extend_schema(request=None, responses={200: s.CheckpointSerializer})
    def post(self, request: Request, public_id: Any) -> Response:
        """Read every byte of the weights and compare them with the manifest; 409 `artifact_corrupt` if one changed."""
        checkpoint = get_checkpoint(request.user, public_id)
        services.verify_checkpoint(checkpoint)
        return Response(s.CheckpointSerializer(checkpoint).data)


class ImportModel(APIView):
    @extend_schema(request=s.ImportSerializer, responses={201: RunSerializer})
    def post(self, request: Request) -> Response:
        """Queue the import of a base model as a new lineage."""
        workspace = workspace_for(request.user, RESEARCHES)
        asked = _valid(s.ImportSerializer, request)
        run = services.import_model(
            workspace=workspace, by=person(request), uri=asked["uri"], lineage_name=asked["lineage"]
        )
        return Response(RunSerializer(run).data, status=201)


class Sample(APIView):
    @extend_schema(request=s.SampleSerializer, responses={201: RunSerializer})
    def post(self, request: Request) -> Response:
        """Queue answers of checkpoints to a campaign's prompts; they enter its queue when drawn."""
        asked = _valid(s.SampleSerializer, request)
        run = services.start_sampling(
            campaign=get_campaign(request.user, asked["campaign"]),
            by=person(request),
            checkpoints=[get_checkpoint(request.user, public_id, do=True) for public_id in asked["checkpoints"]],
            per_prompt=asked["per_prompt"],
            splits=asked["splits"],
            config=asked.get("config"),
            seed=asked["seed"],
        )
        return Response(RunSerializer(run).data, status=201)


class PPO(APIView):
    @extend_schema(request=s.PPOSerializer, responses={201: RunSerializer})
    def post(self, request: Request, public_id: Any) -> Response:
        """Queue PPO from this checkpoint."""
        checkpoint = get_checkpoint(request.user, public_id, do=True)
        asked = _valid(s.PPOSerializer, request)
        run = services.start_ppo(
            checkpoint=checkpoint,
            reward_model=get_reward_model(request.user, asked["reward_model"]),
            campaign=get_campaign(request.user, asked["campaign"]),
            by=person(request),
            config=asked.get("config"),
            seed=asked["seed"],
        )
        return Response(RunSerializer(run).data, status=201)


class PPOEstimate(APIView):
    @extend_schema(request=s.PPOSerializer, responses={200: EstimateSerializer})
    def post(self, request: Request, public_id: Any) -> Response:
        """What such a PPO run would need: memory, time, and whether a known machine can hold it. Starts nothing."""
        checkpoint = get_checkpoint(request.user, public_id, do=True)
        asked = _valid(s.PPOSerializer, request)
        found = services.ppo_preflight(
            checkpoint=checkpoint,
            reward_model=get_reward_model(request.user, asked["reward_model"]),
            campaign=get_campaign(request.user, asked["campaign"]),
            config=asked.get("config"),
        )
        return Response(EstimateSerializer(found).data)


class FollowList(generics.ListAPIView[Follow]):
    serializer_class = s.FollowSerializer
    queryset = Follow.objects.none()

    def get_queryset(self) -> QuerySet[Follow]:
        workspace_for(self.request.user, STAFF)
        return follows_seen_by(self.request.user)

    @extend_schema(request=s.FollowSerializer, responses={201: s.FollowSerializer})
    def post(self, request: Request) -> Response:
        """Let a campaign follow a lineage; following again changes the numbers."""
        asked = _valid(s.FollowSerializer, request)
        followed = services.follow(
            campaign=get_campaign(request.user, asked.pop("campaign")["public_id"]),
            lineage=get_lineage(request.user, asked.pop("lineage")["public_id"], do=True),
            by=person(request),
            **asked,
        )
        return Response(s.FollowSerializer(followed).data, status=201)


class FollowEnd(APIView):
    @extend_schema(request=s.FollowEndSerializer, responses={204: None})
    def post(self, request: Request) -> Response:
        """Let a campaign follow a lineage no longer; what is in its queue stays."""
        asked = _valid(s.FollowEndSerializer, request)
        services.unfollow(
            campaign=get_campaign(request.user, asked["campaign"]),
            lineage=get_lineage(request.user, asked["lineage"], do=True),
            by=person(request),
        )
        return Response(status=204)


class StudyList(generics.ListAPIView[WinRateStudy]):
    serializer_class = s.StudySerializer
    queryset = WinRateStudy.objects.none()

    def get_queryset(self) -> QuerySet[WinRateStudy]:
        workspace_for(self.request.user, STAFF)
        return studies_seen_by(self.request.user)

    @extend_schema(request=s.NewStudySerializer, responses={201: s.StudyDetailSerializer})
    def post(self, request: Request) -> Response:
        """Compare two checkpoints on the campaign's test prompts, judged blind by its labelers."""
        asked = _valid(s.NewStudySerializer, request)
        study = services.start_win_rate(
            campaign=get_campaign(request.user, asked["campaign"]),
            candidate=get_checkpoint(request.user, asked["candidate"], do=True),
            baseline=get_checkpoint(request.user, asked["baseline"], do=True),
            by=person(request),
            seed=asked["seed"],
            per_prompt=asked["per_prompt"],
            config=asked.get("config"),
        )
        return Response(s.StudyDetailSerializer(study).data, status=201)


class StudyDetail(generics.RetrieveAPIView[WinRateStudy]):
    serializer_class = s.StudyDetailSerializer
    queryset = WinRateStudy.objects.none()

    def get_object(self) -> WinRateStudy:
        return get_study(self.request.user, self.kwargs["public_id"])
