"""Prompts, answers, tasks, rankings and the import."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.person import person
from accounts.errors import Refused
from annotation import services
from annotation.access import get_campaign
from annotation.api.base import CampaignList, LinesParser
from annotation.models import Completion, Prompt, Ranking, RankingItem, Task
from annotation.services import NewCompletion, NewPrompt, NewTask


class PromptSerializer(serializers.ModelSerializer[Prompt]):
    id = serializers.UUIDField(source="public_id")
    split = serializers.CharField()

    class Meta:
        model = Prompt
        fields = ["id", "messages", "split", "category", "language", "skill", "content_sha256", "created_at"]


class NewPromptSerializer(serializers.Serializer[None]):
    prompt = serializers.JSONField(help_text='A text, or messages [{"role", "content"}, …] that end with the user\'s.')
    category = serializers.CharField(required=False, allow_blank=True, max_length=60)
    language = serializers.CharField(
        required=False, allow_blank=True, max_length=35, help_text="BCP 47, as en or pt-br; only who reads it gets it."
    )
    skill = serializers.CharField(
        required=False, allow_blank=True, max_length=60, help_text="Only labelers with this skill get it."
    )
    split = serializers.CharField(required=False, allow_null=True, help_text="train, validation or test")


class NewPromptsSerializer(serializers.Serializer[None]):
    prompts = NewPromptSerializer(many=True, allow_empty=False)


class AddedPromptsSerializer(serializers.Serializer[Any]):
    created = PromptSerializer(many=True)
    duplicates = PromptSerializer(many=True, help_text="Prompts that were there already.")


class CompletionSerializer(serializers.ModelSerializer[Completion]):
    id = serializers.UUIDField(source="public_id")
    prompt = serializers.UUIDField(source="prompt.public_id")
    finish_reason = serializers.CharField()

    class Meta:
        model = Completion
        fields = ["id", "prompt", "text", "source", "finish_reason", "sample_index", "created_at"]


class NewCompletionSerializer(serializers.Serializer[None]):
    prompt = serializers.UUIDField()
    text = serializers.CharField(trim_whitespace=False, allow_blank=True)
    sample_index = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=0)


class NewCompletionsSerializer(serializers.Serializer[None]):
    source = serializers.CharField(  # type: ignore[assignment]
        max_length=100, help_text="Who wrote them; stored as import:<source>."
    )
    completions = NewCompletionSerializer(many=True, allow_empty=False)


class TaskSerializer(serializers.ModelSerializer[Task]):
    id = serializers.UUIDField(source="public_id")
    prompt = serializers.UUIDField(source="prompt.public_id")
    completions = serializers.SerializerMethodField()
    purpose = serializers.CharField()

    class Meta:
        model = Task
        fields = [
            "id",
            "prompt",
            "completions",
            "purpose",
            "priority",
            "overlap",
            "free_slots",
            "is_order_fixed",
            "created_at",
        ]

    @extend_schema_field(serializers.ListField(child=serializers.UUIDField()))
    def get_completions(self, task: Task) -> list[UUID]:
        return [item.completion.public_id for item in task.items.all()]


class NewTaskSerializer(serializers.Serializer[None]):
    prompt = serializers.UUIDField()
    completions = serializers.ListField(child=serializers.UUIDField())
    purpose = serializers.CharField(default="collect", help_text="collect or rate")
    priority = serializers.IntegerField(min_value=-1000, max_value=1000, default=100, help_text="Lower is first.")
    overlap = serializers.IntegerField(required=False, allow_null=True, help_text="Default: the campaign's.")
    is_order_fixed = serializers.BooleanField(default=False)


class NewTasksSerializer(serializers.Serializer[None]):
    tasks = NewTaskSerializer(many=True, allow_empty=False)


class RankingItemSerializer(serializers.ModelSerializer[RankingItem]):
    completion = serializers.UUIDField(source="completion.public_id")

    class Meta:
        model = RankingItem
        fields = ["completion", "position_shown", "rank", "unrankable_reason", "rating", "flags"]


class RankingSerializer(serializers.ModelSerializer[Ranking]):
    id = serializers.UUIDField(source="public_id")
    task = serializers.UUIDField(source="task.public_id")
    labeler = serializers.UUIDField(source="labeler.public_id")
    labeler_name = serializers.CharField(source="labeler.name")
    labeler_kind = serializers.CharField(source="labeler.kind")
    guidelines = serializers.IntegerField(source="guideline_version.number", allow_null=True, default=None)
    items = RankingItemSerializer(many=True)

    class Meta:
        model = Ranking
        fields = [
            "id",
            "task",
            "labeler",
            "labeler_name",
            "labeler_kind",
            "guidelines",
            "items",
            "none_acceptable",
            "strength",
            "active_seconds",
            "rationale",
            "created_at",
        ]


class LinesFileSerializer(serializers.Serializer[None]):
    file = serializers.FileField()


class ImportReportSerializer(serializers.Serializer[Any]):
    num_prompts = serializers.IntegerField()
    num_completions = serializers.IntegerField()
    num_rankings = serializers.IntegerField()
    num_duplicates = serializers.IntegerField(help_text="Lines whose prompt was there already.")
    num_tasks = serializers.IntegerField()


class Prompts(CampaignList[Prompt]):
    serializer_class = PromptSerializer
    queryset = Prompt.objects.all()

    @extend_schema(request=NewPromptsSerializer, responses={201: AddedPromptsSerializer})
    def post(self, request: Request, public_id: UUID) -> Response:
        """Add prompts; those that are there already are named as duplicates."""
        campaign = get_campaign(request.user, public_id, manage=True)
        asked = NewPromptsSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        prompts = [
            NewPrompt(
                messages=row["prompt"],
                category=row.get("category", ""),
                language=row.get("language", ""),
                skill=row.get("skill", ""),
                split=row.get("split"),
            )
            for row in asked.validated_data["prompts"]
        ]
        return Response(
            AddedPromptsSerializer(services.add_prompts(campaign=campaign, prompts=prompts)).data, status=201
        )


class Completions(CampaignList[Completion]):
    serializer_class = CompletionSerializer
    queryset = Completion.objects.select_related("prompt").defer("token_ids")
    campaign_lookup = "prompt__campaign"

    @extend_schema(request=NewCompletionsSerializer, responses={201: CompletionSerializer(many=True)})
    def post(self, request: Request, public_id: UUID) -> Response:
        """Add ready-made answers. A checkpoint's answers come from sampling only: nobody can pass for one."""
        campaign = get_campaign(request.user, public_id, manage=True)
        asked = NewCompletionsSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        completions = services.add_completions(
            campaign=campaign,
            source=f"import:{asked.validated_data['source']}",
            completions=[
                NewCompletion(prompt_id=row["prompt"], text=row["text"], sample_index=row["sample_index"])
                for row in asked.validated_data["completions"]
            ],
        )
        return Response(CompletionSerializer(completions, many=True).data, status=201)


class Tasks(CampaignList[Task]):
    serializer_class = TaskSerializer
    queryset = Task.objects.not_archived().select_related("prompt").prefetch_related("items__completion")

    @extend_schema(request=NewTasksSerializer, responses={201: TaskSerializer(many=True)})
    def post(self, request: Request, public_id: UUID) -> Response:
        """Put tasks in the queue."""
        campaign = get_campaign(request.user, public_id, manage=True)
        asked = NewTasksSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        new = [
            NewTask(
                prompt_id=row["prompt"],
                completion_ids=row["completions"],
                purpose=row["purpose"],
                priority=row["priority"],
                overlap=row.get("overlap"),
                is_order_fixed=row["is_order_fixed"],
            )
            for row in asked.validated_data["tasks"]
        ]
        tasks = services.create_tasks(campaign=campaign, tasks=new)
        return Response(TaskSerializer(tasks, many=True).data, status=201)


class Rankings(CampaignList[Ranking]):
    serializer_class = RankingSerializer
    queryset = (
        Ranking.objects.current()
        .select_related("task", "labeler", "guideline_version")
        .prefetch_related("items__completion")
    )
    campaign_lookup = "task__campaign"


class Import(APIView):
    parser_classes = [LinesParser, MultiPartParser]

    @extend_schema(
        request={"multipart/form-data": LinesFileSerializer, "application/x-ndjson": OpenApiTypes.BINARY},
        responses={201: ImportReportSerializer},
    )
    def post(self, request: Request, public_id: UUID) -> Response:
        """Import JSON lines of prompts, answers and rankings: all or nothing, faults with their line numbers."""
        campaign = get_campaign(request.user, public_id, manage=True)
        file = request.data.get("file") if isinstance(request.data, dict) else None
        if file is None or isinstance(file, str):
            raise Refused(_('Send the lines as the body, or as a file named "file".'), code="import_empty")
        data = file.read(settings.IMPORT_MAX_BYTES + 1)
        if len(data) > settings.IMPORT_MAX_BYTES:
            raise Refused(
                _("The file is larger than %(max)d MB; cut it into parts.") % {"max": settings.IMPORT_MAX_BYTES >> 20},
                code="import_too_large",
                status=413,
            )
        report = services.import_jsonl(campaign=campaign, by=person(request), lines=data)
        return Response(ImportReportSerializer(report).data, status=201)
