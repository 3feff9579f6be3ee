from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from accounts.api.person import person
from policy import services
from policy.access import get_checkpoint
from policy.api import serializers as s
from policy.services.tuning import DPO_KIND, SFT_KIND
from reward.access import get_snapshot
from reward.api.preflight import EstimateSerializer
from runs.api.serializers import RunSerializer


class DPO(APIView):
    @extend_schema(request=s.DPOSerializer, responses={201: RunSerializer})
    def post(self, request: Request, public_id: Any) -> Response:
        """Queue DPO from this checkpoint on a snapshot's stated preferences, without a reward model."""
        return _start(request, public_id, DPO_KIND, s.DPOSerializer)


class SFT(APIView):
    @extend_schema(request=s.SFTSerializer, responses={201: RunSerializer})
    def post(self, request: Request, public_id: Any) -> Response:
        """Queue supervised fine-tuning from this checkpoint on a snapshot's best-ranked, acceptable answers."""
        return _start(request, public_id, SFT_KIND, s.SFTSerializer)


class DPOEstimate(APIView):
    @extend_schema(request=s.DPOSerializer, responses={200: EstimateSerializer})
    def post(self, request: Request, public_id: Any) -> Response:
        """What such a DPO run would need: memory, time, and whether a known machine can hold it. Starts nothing."""
        return _estimate(request, public_id, DPO_KIND, s.DPOSerializer)


class SFTEstimate(APIView):
    @extend_schema(request=s.SFTSerializer, responses={200: EstimateSerializer})
    def post(self, request: Request, public_id: Any) -> Response:
        """What such an SFT run would need: memory, time, and whether a known machine can hold it. Starts nothing."""
        return _estimate(request, public_id, SFT_KIND, s.SFTSerializer)


def _estimate(request: Request, public_id: Any, kind: str, serializer: type[Serializer[None]]) -> Response:
    checkpoint = get_checkpoint(request.user, public_id, do=True)
    asked = serializer(data=request.data)
    asked.is_valid(raise_exception=True)
    found = services.tuning_preflight(
        kind=kind,
        checkpoint=checkpoint,
        snapshot=get_snapshot(request.user, asked.validated_data["snapshot"]),
        config=asked.validated_data.get("config"),
    )
    return Response(EstimateSerializer(found).data)


def _start(request: Request, public_id: Any, kind: str, serializer: type[Serializer[None]]) -> Response:
    checkpoint = get_checkpoint(request.user, public_id, do=True)
    asked = serializer(data=request.data)
    asked.is_valid(raise_exception=True)
    run = services.start_tuning(
        kind=kind,
        checkpoint=checkpoint,
        snapshot=get_snapshot(request.user, asked.validated_data["snapshot"]),
        by=person(request),
        config=asked.validated_data.get("config"),
        seed=asked.validated_data["seed"],
    )
    return Response(RunSerializer(run).data, status=201)
