"""Explanations of scores over the API: asked for by POST, read by GET."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.person import person
from reward.access import get_completion, get_reward_model
from reward.completion_page import heat_map
from reward.explanations import start_explanation
from reward.models import Explanation


class PieceSerializer(serializers.Serializer[Any]):
    text = serializers.CharField()
    value = serializers.FloatField(help_text="What this stretch of the answer adds to the score, in reward units.")


class ExplanationSerializer(serializers.ModelSerializer[Explanation]):
    id = serializers.UUIDField(source="public_id", read_only=True)
    reward_model = serializers.UUIDField(source="version.public_id", read_only=True)
    completion = serializers.UUIDField(source="completion.public_id", read_only=True)
    run = serializers.UUIDField(source="run.public_id", read_only=True)
    state = serializers.CharField(source="run.state", read_only=True)
    score = serializers.FloatField(source="payload.score", default=None, read_only=True)
    baseline_score = serializers.FloatField(source="payload.baseline_score", default=None, read_only=True)
    gap = serializers.FloatField(source="payload.gap", default=None, read_only=True)
    relative_gap = serializers.FloatField(source="payload.relative_gap", default=None, read_only=True)
    pieces = serializers.SerializerMethodField(
        help_text="Joined they are the answer; null until the run has succeeded."
    )

    class Meta:
        model = Explanation
        fields = [
            *("id", "reward_model", "completion", "run", "state", "score", "baseline_score", "gap", "relative_gap"),
            *("pieces", "sha256", "created_at"),
        ]

    @extend_schema_field(PieceSerializer(many=True, allow_null=True))
    def get_pieces(self, explanation: Explanation) -> list[dict[str, Any]] | None:
        found = heat_map(explanation, explanation.completion)
        return None if found is None else [{"text": piece.text, "value": piece.value} for piece in found.pieces]


class ExplainSerializer(serializers.Serializer[None]):
    reward_model = serializers.UUIDField()
    config = serializers.DictField(required=False, help_text="Fields of ExplainConfig that differ from the defaults.")


class Explanations(generics.ListAPIView[Explanation]):
    """Explanations of an answer's scores, the newest first."""

    serializer_class = ExplanationSerializer
    queryset = Explanation.objects.none()

    def get_queryset(self) -> QuerySet[Explanation]:
        completion = get_completion(self.request.user, self.kwargs["public_id"])
        return Explanation.objects.filter(completion=completion).select_related("version", "completion", "run")

    @extend_schema(request=ExplainSerializer, responses={200: ExplanationSerializer, 201: ExplanationSerializer})
    def post(self, request: Request, public_id: UUID) -> Response:
        """Explain a reward model's score of the answer: 201 and a queued run, or 200 and what is there already."""
        completion = get_completion(request.user, public_id, do=True)
        asked = ExplainSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        version = get_reward_model(request.user, asked.validated_data["reward_model"])
        started = start_explanation(
            version=version, completion=completion, by=person(request), config=asked.validated_data.get("config")
        )
        return Response(ExplanationSerializer(started.explanation).data, status=201 if started.is_new else 200)
