"""Quality over the API: the plan, known orders, what labelers read, qualification, figures and reports."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.person import person
from annotation import services
from annotation.access import get_campaign, get_task
from annotation.api.base import CampaignList
from annotation.models import Campaign, Labeler, Report, Task, TaskRole
from annotation.quality import QualityPlan
from annotation.quality_figures import known_orders, labeler_quality
from annotation.services import NewTask


class QualityPlanSerializer(serializers.Serializer[Any]):
    gold_every = serializers.IntegerField(required=False, help_text="One gold task in so many; 0: none.")
    gold_min = serializers.FloatField(required=False, help_text="Enough on gold tasks, 0 to 1.")
    repeat_every = serializers.IntegerField(required=False, help_text="One repeat in so many; 0: none.")
    repeat_after = serializers.IntegerField(required=False, help_text="Rankings between a task and its repeat.")
    qualifies = serializers.BooleanField(required=False, help_text="Training tasks come first.")
    qualification_min = serializers.FloatField(required=False, help_text="Enough on training tasks, 0 to 1.")
    attempts = serializers.IntegerField(required=False, help_text="Attempts to qualify.")
    max_per_day = serializers.IntegerField(
        required=False, allow_null=True, help_text="Rankings a person and day (UTC)."
    )
    max_in_all = serializers.IntegerField(required=False, allow_null=True, help_text="Rankings a person in all.")


class KnownOrderSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(source="task.public_id")
    prompt = serializers.UUIDField(source="task.prompt.public_id")
    role = serializers.CharField(source="task.role", help_text="gold or training")
    ranks = serializers.DictField(child=serializers.IntegerField(), source="task.gold.ranks")
    explanation = serializers.CharField(source="task.gold.explanation")
    num_rankings = serializers.IntegerField()
    mean_score = serializers.FloatField(allow_null=True)
    num_passed = serializers.IntegerField(help_text="Rankings whose score is enough by the plan.")


class NewKnownOrderSerializer(serializers.Serializer[None]):
    prompt = serializers.UUIDField()
    completions = serializers.ListField(child=serializers.UUIDField())
    role = serializers.CharField(help_text="gold or training")
    ranks = serializers.DictField(
        child=serializers.IntegerField(),
        help_text="Completion -> rank, 1 is best, equal is a tie; one that is left out is not checked.",
    )
    explanation = serializers.CharField(required=False, allow_blank=True, trim_whitespace=False)


class ChangedKnownOrderSerializer(serializers.Serializer[None]):
    ranks = serializers.DictField(
        child=serializers.IntegerField(),
        required=False,
        help_text="The whole order anew: completion -> rank; one that is left out is not checked.",
    )
    explanation = serializers.CharField(required=False, allow_blank=True, trim_whitespace=False)


class MadeKnownOrderSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(source="public_id")
    role = serializers.CharField()


class ReadingSerializer(serializers.Serializer[Any]):
    languages = serializers.ListField(
        child=serializers.CharField(max_length=35), required=False, help_text="BCP 47 tags; empty: anything."
    )
    skills = serializers.ListField(child=serializers.CharField(max_length=60), required=False)


class LabelerQualitySerializer(serializers.Serializer[Any]):
    labeler = serializers.UUIDField()
    gold_score = serializers.FloatField(allow_null=True, help_text="Mean over their gold tasks, 0 to 1.")
    num_gold = serializers.IntegerField()
    consistency = serializers.FloatField(allow_null=True, help_text="Share of repeated pairs said the same way.")
    num_repeated_pairs = serializers.IntegerField()
    first_share = serializers.FloatField(allow_null=True, help_text="Share of preferences for what was shown first.")
    num_preferences = serializers.IntegerField()


class ReportSerializer(serializers.ModelSerializer[Report]):
    id = serializers.UUIDField(source="public_id")
    task = serializers.UUIDField(source="task.public_id")
    labeler = serializers.UUIDField(source="labeler.public_id")
    kind = serializers.CharField()

    class Meta:
        model = Report
        fields = ["id", "task", "labeler", "kind", "text", "created_at", "resolved_at"]


class CampaignQuality(APIView):
    @extend_schema(responses=QualityPlanSerializer)
    def get(self, request: Request, public_id: UUID) -> Response:
        """What is planned for every labeler."""
        return Response(QualityPlan.read(get_campaign(request.user, public_id).quality).as_json())

    @extend_schema(request=QualityPlanSerializer, responses=QualityPlanSerializer)
    def put(self, request: Request, public_id: UUID) -> Response:
        """Plan anew; what is left out has its default."""
        campaign = get_campaign(request.user, public_id, manage=True)
        asked = QualityPlanSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        campaign = services.update_campaign(campaign=campaign, by=person(request), quality=asked.validated_data)
        return Response(campaign.quality)


class KnownOrders(APIView):
    @extend_schema(responses=KnownOrderSerializer(many=True))
    def get(self, request: Request, public_id: UUID) -> Response:
        """Gold and training tasks, with how many pass them."""
        campaign = get_campaign(request.user, public_id, manage=True)
        return Response(KnownOrderSerializer(known_orders(campaign), many=True).data)

    @extend_schema(request=NewKnownOrderSerializer, responses={201: MadeKnownOrderSerializer})
    def post(self, request: Request, public_id: UUID) -> Response:
        """Make a gold or a training task of a prompt and its answers."""
        campaign = get_campaign(request.user, public_id, manage=True)
        asked = NewKnownOrderSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        made = services.add_known_order(
            campaign=campaign,
            by=person(request),
            task=NewTask(prompt_id=given["prompt"], completion_ids=given["completions"]),
            role=given["role"],
            ranks=given["ranks"],
            explanation=given.get("explanation", ""),
        )
        return Response(MadeKnownOrderSerializer(made).data, status=201)


class KnownOrderDetail(APIView):
    @extend_schema(responses=KnownOrderSerializer)
    def get(self, request: Request, public_id: UUID, task_id: UUID) -> Response:
        """A gold or training task that is not archived, with how many pass it."""
        campaign = get_campaign(request.user, public_id, manage=True)
        return self._respond(campaign, get_task(campaign, task_id))

    @extend_schema(request=ChangedKnownOrderSerializer, responses=KnownOrderSerializer)
    def patch(self, request: Request, public_id: UUID, task_id: UUID) -> Response:
        """Put its answers in another order; all that was said of it is scored again. What is left out stays."""
        campaign = get_campaign(request.user, public_id, manage=True)
        asked = ChangedKnownOrderSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        task = generics.get_object_or_404(campaign.tasks.exclude(role=TaskRole.WORK), public_id=task_id)
        services.change_known_order(task=task, by=person(request), **asked.validated_data)
        return self._respond(campaign, task)

    def _respond(self, campaign: Campaign, task: Task) -> Response:
        rows = known_orders(campaign, task=task)
        if not rows:
            raise Http404
        return Response(KnownOrderSerializer(rows[0]).data)


class KnownOrderArchive(APIView):
    @extend_schema(request=None, responses=MadeKnownOrderSerializer)
    def post(self, request: Request, public_id: UUID, task_id: UUID) -> Response:
        """Give it to nobody any more."""
        task = get_task(get_campaign(request.user, public_id, manage=True), task_id)
        return Response(MadeKnownOrderSerializer(services.archive_known_order(task=task, by=person(request))).data)


class LabelerQualityList(APIView):
    @extend_schema(responses=LabelerQualitySerializer(many=True))
    def get(self, request: Request, public_id: UUID) -> Response:
        """Gold score, consistency and liking for the first place, of every labeler who has any of them."""
        figures = labeler_quality(get_campaign(request.user, public_id))
        ids = dict(Labeler.objects.filter(pk__in=figures).order_by("name", "pk").values_list("pk", "public_id"))
        rows = [{"labeler": public_id, **figures[key]._asdict()} for key, public_id in ids.items()]
        return Response(LabelerQualitySerializer(rows, many=True).data)


def _labeler(campaign: Campaign, user_id: UUID) -> Labeler:
    """The labeler who stands for a person with a seat."""
    seat = generics.get_object_or_404(campaign.memberships.select_related("user"), user__public_id=user_id)
    return services.labeler_for(workspace=campaign.workspace, user=seat.user)


class MemberReading(APIView):
    @extend_schema(request=ReadingSerializer, responses=ReadingSerializer)
    def put(self, request: Request, public_id: UUID, user_id: UUID) -> Response:
        """Say what a person reads and is good at; what is left out stays as it is."""
        campaign = get_campaign(request.user, public_id, manage=True)
        asked = ReadingSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        labeler = _labeler(campaign, user_id)
        standing = services.set_reading(campaign=campaign, labeler=labeler, by=person(request), **asked.validated_data)
        return Response(ReadingSerializer(standing).data)


class MemberTryAgain(APIView):
    @extend_schema(request=None, responses={204: None})
    def post(self, request: Request, public_id: UUID, user_id: UUID) -> Response:
        """Let somebody who failed to qualify try again."""
        campaign = get_campaign(request.user, public_id, manage=True)
        services.let_try_again(campaign=campaign, labeler=_labeler(campaign, user_id), by=person(request))
        return Response(status=204)


class MemberWaveThrough(APIView):
    @extend_schema(request=None, responses={204: None})
    def post(self, request: Request, public_id: UUID, user_id: UUID) -> Response:
        """Let somebody work without the training tasks."""
        campaign = get_campaign(request.user, public_id, manage=True)
        services.wave_through(campaign=campaign, labeler=_labeler(campaign, user_id), by=person(request))
        return Response(status=204)


class Reports(CampaignList[Report]):
    """What labelers reported; those with `resolved_at` null are open."""

    serializer_class = ReportSerializer
    queryset = Report.objects.select_related("task", "labeler")
    campaign_lookup = "task__campaign"


class ReportResolve(APIView):
    @extend_schema(request=None, responses=ReportSerializer)
    def post(self, request: Request, public_id: UUID, report_id: UUID) -> Response:
        """Take a report off the list of open ones."""
        campaign = get_campaign(request.user, public_id, manage=True)
        report = generics.get_object_or_404(Report.objects.filter(task__campaign=campaign), public_id=report_id)
        return Response(ReportSerializer(services.resolve_report(report=report, by=person(request))).data)
