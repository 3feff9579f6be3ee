"""Scores of a campaign's answers over the API: asked for by POST, read by GET, the highest first."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.base import CursorPagination
from accounts.api.person import person
from annotation.access import get_campaign
from reward.access import get_reward_model
from reward.models import Score
from reward.ordering import order_queue
from reward.scoring import scores_of, start_scoring
from runs.api.serializers import RunSerializer

ORDERS = ("score", "spread")


class ScoreAnswersSerializer(serializers.Serializer[None]):
    campaign = serializers.UUIDField()
    config = serializers.DictField(required=False, help_text="Fields of ScoreConfig that differ from the defaults.")


class OrderQueueSerializer(serializers.Serializer[None]):
    campaign = serializers.UUIDField()


class OrderedQueueSerializer(serializers.Serializer[Any]):
    num_tasks = serializers.IntegerField(help_text="Waiting tasks that were put in order.")


class ScoreQuerySerializer(serializers.Serializer[None]):
    campaign = serializers.UUIDField(required=False, help_text="Only answers of this campaign.")
    order = serializers.ChoiceField(ORDERS, default="score", help_text="What the rows fall by.")


class ScoreSerializer(serializers.ModelSerializer[Score]):
    completion = serializers.UUIDField(source="completion.public_id", read_only=True)
    prompt = serializers.UUIDField(source="completion.prompt.public_id", read_only=True)
    spread = serializers.FloatField(
        allow_null=True,
        read_only=True,
        help_text="Standard deviation of the heads' scores; null for a version with one head.",
    )

    class Meta:
        model = Score
        fields = ["completion", "prompt", "score", "spread"]


class FallingPagination(CursorPagination):
    """By the value that the request names, from the highest down."""

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: Any) -> tuple[str, ...]:
        return (f"-{request.query_params.get('order', 'score')}", "-pk")


class RewardModelScore(APIView):
    @extend_schema(request=ScoreAnswersSerializer, responses={200: RunSerializer, 201: RunSerializer})
    def post(self, request: Request, public_id: UUID) -> Response:
        """Score all answers of a campaign: 201 and a queued run, or 200 and the one that is on its way already."""
        version = get_reward_model(request.user, public_id, do=True)
        asked = ScoreAnswersSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        campaign = get_campaign(request.user, asked.validated_data["campaign"])
        started = start_scoring(
            version=version, campaign=campaign, by=person(request), config=asked.validated_data.get("config")
        )
        return Response(RunSerializer(started.run).data, status=201 if started.is_new else 200)


class RewardModelOrderQueue(APIView):
    @extend_schema(request=OrderQueueSerializer, responses=OrderedQueueSerializer)
    def post(self, request: Request, public_id: UUID) -> Response:
        """Put a campaign's waiting tasks in the order of the heads' disagreement, the greatest first."""
        version = get_reward_model(request.user, public_id, do=True)
        asked = OrderQueueSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        campaign = get_campaign(request.user, asked.validated_data["campaign"])
        num = order_queue(version=version, campaign=campaign, by=person(request))
        return Response({"num_tasks": num})


@extend_schema_view(get=extend_schema(parameters=[ScoreQuerySerializer]))
class RewardModelScores(generics.ListAPIView[Score]):
    """What the version makes of the answers that it has scored: highest score first, or where its heads differ most."""

    serializer_class = ScoreSerializer
    pagination_class = FallingPagination
    queryset = Score.objects.none()

    def get_queryset(self) -> QuerySet[Score]:
        version = get_reward_model(self.request.user, self.kwargs["public_id"])
        asked = ScoreQuerySerializer(data=self.request.query_params)
        asked.is_valid(raise_exception=True)
        named = asked.validated_data.get("campaign")
        campaign = get_campaign(self.request.user, named) if named else None
        return scores_of(version, campaign=campaign, has_spread=asked.validated_data["order"] == "spread")
