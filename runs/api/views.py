from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.access import STAFF, workspace_for
from accounts.api.base import CursorPagination
from accounts.models import User
from runs import comparison, queries, services
from runs.access import get_compared, get_run
from runs.api.serializers import (
    ComparisonSerializer,
    LogSerializer,
    RunDetailSerializer,
    RunSampleQuerySerializer,
    RunSampleSerializer,
    RunSerializer,
)
from runs.models import Run, RunSample
from runs.states import RunState

MAX_LOG_BYTES = 4 * 1024 * 1024
KIND = OpenApiParameter("kind", str, description="Only runs of this kind, as `policy.ppo`.")
STATE = OpenApiParameter("state", str, enum=RunState.values, description="Only runs in this state.")
NAME = OpenApiParameter("name", str, many=True, description="Only these metrics; repeat it for several.")
RUN = OpenApiParameter("run", OpenApiTypes.UUID, many=True, required=True, description="A run; 2 to 8 are needed.")
MAX_BYTES = OpenApiParameter("max_bytes", int, description="At most this much of the log's end; 65,536 unless told.")


@extend_schema(parameters=[KIND, STATE])
class RunList(generics.ListAPIView[Run]):
    """Runs of the workspaces where you are staff, the newest first."""

    serializer_class = RunSerializer
    queryset = Run.objects.none()
    filters: ClassVar = ("kind", "state")

    def get_queryset(self) -> QuerySet[Run]:
        workspace_for(self.request.user, STAFF)
        asked = {name: self.request.query_params[name] for name in self.filters if name in self.request.query_params}
        return queries.run_list(self.request.user).filter(**asked)


class RunDetail(generics.RetrieveAPIView[Run]):
    """One run: settings, inputs by hash, progress, notes, artifacts, outcome."""

    serializer_class = RunDetailSerializer
    queryset = Run.objects.none()

    def get_object(self) -> Run:
        return get_run(self.request.user, self.kwargs["public_id"])


class RunMetrics(APIView):
    @extend_schema(parameters=[NAME], responses={200: OpenApiTypes.OBJECT})
    def get(self, request: Request, public_id: UUID) -> Response:
        """`{"step": [...], "<metric>": [...]}`; null where a step has no finite value of a metric."""
        run = get_run(request.user, public_id)
        return Response(queries.metric_series(run, request.query_params.getlist("name") or None))


class StepPagination(CursorPagination):
    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: Any) -> tuple[str, ...]:
        return ("step", "index")


@extend_schema_view(get=extend_schema(parameters=[RunSampleQuerySerializer]))
class RunSamples(generics.ListAPIView[RunSample]):
    """Answers to the same few prompts at each evaluation, the first step first; that one is from before training."""

    serializer_class = RunSampleSerializer
    pagination_class = StepPagination
    queryset = RunSample.objects.none()

    def get_queryset(self) -> QuerySet[RunSample]:
        run = get_run(self.request.user, self.kwargs["public_id"])
        asked = RunSampleQuerySerializer(data=self.request.query_params)
        asked.is_valid(raise_exception=True)
        return run.samples.filter(**asked.validated_data)


class RunComparison(APIView):
    @extend_schema(parameters=[RUN, NAME], responses={200: ComparisonSerializer})
    def get(self, request: Request) -> Response:
        """2 to 8 runs in the order asked for: metrics as columns, settings, and the figures they ended with."""
        runs = get_compared(request.user, request.query_params.getlist("run"))
        names = request.query_params.getlist("name") or None
        compared = [{"run": run, "metrics": queries.metric_series(run, names)} for run in runs]
        told = {"runs": compared, **comparison.settings(runs)._asdict()}
        return Response(ComparisonSerializer(told, context={"runs": runs}).data)


class RunLog(APIView):
    @extend_schema(parameters=[MAX_BYTES], responses={200: LogSerializer})
    def get(self, request: Request, public_id: UUID) -> Response:
        """The end of what the run's process printed, secrets blotted out."""
        run = get_run(request.user, public_id)
        return Response({"log": queries.log_tail(run, _max_bytes(request.query_params.get("max_bytes")))})


class RunCancel(APIView):
    @extend_schema(request=None, responses={200: RunSerializer})
    def post(self, request: Request, public_id: UUID) -> Response:
        """End a queued run at once, a running one at its next step; 409 `run_finished` when it is over."""
        run = get_run(request.user, public_id, do=True)
        services.cancel_run(run=run, by=_user(request))
        return Response(RunSerializer(run).data)


def _user(request: Request) -> User:
    user: Any = request.user
    assert isinstance(user, User)
    return user


def _max_bytes(raw: str | None) -> int:
    if raw is None or not raw.isdecimal() or not raw.isascii():
        return queries.LOG_BYTES
    return max(1, min(int(raw[:12]), MAX_LOG_BYTES))
