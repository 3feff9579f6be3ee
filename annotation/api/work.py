"""A labeler's side, blind by construction: it knows texts, order and time; no source, no score, no peer."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.person import person
from annotation import services
from annotation.access import LEASE_TO_SUBMIT, LEASE_WITH_ANSWERS, get_lease, get_own_ranking, get_work, lock_work
from annotation.models import Lease, Ranking, Report, ReportKind, SkipReason
from annotation.protocols import Protocol, Questions
from annotation.queries import work_for
from annotation.services import Submission, SubmittedItem


class WorkSerializer(serializers.Serializer[Any]):
    campaign = serializers.UUIDField(source="campaign.public_id")
    name = serializers.CharField(source="campaign.name")
    num_open = serializers.IntegerField(help_text="Tasks that wait for you, counted up to 1,000.")
    has_more = serializers.BooleanField(help_text="There are more than that.")
    num_done = serializers.IntegerField(help_text="Tasks that you have ranked.")
    lease = serializers.UUIDField(source="lease.public_id", allow_null=True, default=None)


class MessageSerializer(serializers.Serializer[Any]):
    role = serializers.CharField()
    content = serializers.CharField()


class ShownAnswerSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    text = serializers.CharField()


class LeaseSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    campaign = serializers.UUIDField()
    state = serializers.CharField(help_text="active, submitted, skipped, released or expired")
    expires_at = serializers.DateTimeField()
    guidelines = serializers.CharField(allow_blank=True)
    protocol = serializers.ChoiceField(choices=Protocol.choices, help_text="What orders are taken.")
    questions = serializers.JSONField(help_text="What is asked beside the order.")
    messages = MessageSerializer(many=True)
    answers = ShownAnswerSerializer(many=True, help_text="In the order shown.")
    draft = serializers.JSONField(allow_null=True)


class LeaseStateSerializer(serializers.ModelSerializer[Lease]):
    id = serializers.UUIDField(source="public_id")
    state = serializers.CharField()

    class Meta:
        model = Lease
        fields = ["id", "state", "expires_at"]


class SubmittedItemSerializer(serializers.Serializer[None]):
    completion = serializers.UUIDField()
    rank = serializers.IntegerField(allow_null=True, help_text="1 is best, equal is a tie, null: cannot be ranked.")
    unrankable_reason = serializers.CharField(required=False, allow_blank=True, max_length=200)
    rating = serializers.IntegerField(required=False, allow_null=True, help_text="1 to 7")
    flags = serializers.ListField(
        child=serializers.CharField(max_length=40), required=False, help_text="Of the campaign's answer flags."
    )
    rewrite = serializers.CharField(
        required=False, allow_blank=True, trim_whitespace=False, help_text="A better version of your own."
    )
    seen_seconds = serializers.FloatField(required=False, allow_null=True, help_text="Seconds in view.")


class SubmissionSerializer(serializers.Serializer[None]):
    items = SubmittedItemSerializer(many=True)
    none_acceptable = serializers.BooleanField(default=False)
    active_seconds = serializers.FloatField(required=False, allow_null=True)
    strength = serializers.IntegerField(required=False, allow_null=True, help_text="Two answers only, 1 to 4.")
    rationale = serializers.CharField(required=False, allow_blank=True, trim_whitespace=False, max_length=10_000)
    prompt_flags = serializers.ListField(
        child=serializers.CharField(max_length=40), required=False, help_text="Of the campaign's prompt flags."
    )


class FeedbackSerializer(serializers.Serializer[Any]):
    score = serializers.FloatField(help_text="Share of the known order's pairs that you ranked the same way, 0 to 1.")
    expected = serializers.DictField(child=serializers.IntegerField(), help_text="Answer -> rank in the known order.")
    explanation = serializers.CharField(allow_blank=True)
    has_qualified = serializers.BooleanField(allow_null=True, help_text="null: the attempt goes on.")


class SubmittedSerializer(serializers.Serializer[Any]):
    ranking = serializers.UUIDField(source="ranking.public_id")
    is_repeat = serializers.BooleanField(help_text="True: it was in already, with the same content.")
    feedback = FeedbackSerializer(allow_null=True, help_text="After a training task.")


class NextSerializer(serializers.Serializer[None]):
    ahead = serializers.BooleanField(default=False, help_text="A second task, beside the one that you work on.")


class SkipSerializer(serializers.Serializer[None]):
    reason = serializers.CharField(
        required=False, allow_blank=True, max_length=200, help_text=f"One of {', '.join(SkipReason.values)}."
    )
    note = serializers.CharField(required=False, allow_blank=True, max_length=1000, help_text="In your own words.")


class OwnReportSerializer(serializers.ModelSerializer[Report]):
    id = serializers.UUIDField(source="public_id", read_only=True)
    # The service refuses what it does not know, with the page's sentence.
    kind = serializers.CharField(max_length=20, help_text=f"One of {', '.join(ReportKind.values)}.")

    class Meta:
        model = Report
        fields = ["id", "kind", "text", "created_at"]
        read_only_fields = ["created_at"]


class OwnRankingSerializer(serializers.ModelSerializer[Ranking]):
    id = serializers.UUIDField(source="public_id")
    prompt = serializers.CharField(source="task.prompt.text", help_text="The message that the answers reply to.")

    class Meta:
        model = Ranking
        fields = ["id", "prompt", "created_at", "withdrawn_at"]


class DraftSerializer(serializers.Serializer[None]):
    draft = serializers.DictField()


# Made once: a serializer copies its fields whenever it is made, which takes longer than reading the body with them.
NEXT = NextSerializer()
SUBMISSION = SubmissionSerializer()
SUBMITTED = SubmittedSerializer()


def lease_data(lease: Lease) -> dict[str, Any]:
    """What a labeler may see of a lease, as `LeaseSerializer` describes it."""
    texts = {str(answer.public_id): answer.text for answer in lease.task.placed_answers}
    guidelines = services.lease_guidelines(lease)
    return {
        "id": lease.public_id,
        "campaign": lease.task.campaign.public_id,
        "state": lease.state,
        "expires_at": lease.expires_at,
        "guidelines": guidelines.text if guidelines else "",
        "protocol": lease.task.campaign.protocol,
        "questions": Questions.read(lease.task.campaign.questions).as_json(),
        "messages": lease.task.prompt.messages,
        "answers": [{"id": public_id, "text": texts[public_id]} for public_id in lease.shown],
        "draft": lease.draft,
    }


class Work(APIView):
    @extend_schema(responses=WorkSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The open campaigns in which you have a seat."""
        return Response(WorkSerializer(work_for(person(request)), many=True).data)


class WorkNext(APIView):
    @extend_schema(
        request=NextSerializer,
        responses={200: LeaseSerializer, 204: OpenApiResponse(description="Nothing waits for you.")},
    )
    def post(self, request: Request, public_id: UUID) -> Response:
        """Claim the next task, or get the one that you hold; ahead, the one to follow it."""
        asked = NEXT.run_validation(request.data)
        lease = services.claim_next(partial(lock_work, person(request), public_id), ahead=asked["ahead"])
        if lease is None:
            return Response(status=204)
        return Response(lease_data(lease))


class WorkRankings(APIView):
    @extend_schema(responses=OwnRankingSerializer(many=True))
    def get(self, request: Request, public_id: UUID) -> Response:
        """What you handed in and may still change, newest first, at most 50."""
        campaign, labeler = get_work(person(request), public_id)
        rankings = services.recent_rankings(labeler, campaign)[:50]
        return Response(OwnRankingSerializer(rankings, many=True).data)


class RankingRevise(APIView):
    @extend_schema(request=None, responses=LeaseSerializer)
    def post(self, request: Request, public_id: UUID) -> Response:
        """Take up a ranking of yours again; it stands until you submit the new one."""
        ranking = get_own_ranking(request.user, public_id)
        lease = services.revise_ranking(ranking=ranking, labeler=ranking.labeler)
        return Response(lease_data(lease))


class RankingWithdraw(APIView):
    @extend_schema(request=None, responses=OwnRankingSerializer)
    def post(self, request: Request, public_id: UUID) -> Response:
        """Take a ranking of yours back; somebody else gets the task."""
        ranking = get_own_ranking(request.user, public_id)
        withdrawn = services.withdraw_ranking(ranking=ranking, labeler=ranking.labeler)
        return Response(OwnRankingSerializer(withdrawn).data)


class LeaseDetail(APIView):
    @extend_schema(responses=LeaseSerializer)
    def get(self, request: Request, public_id: UUID) -> Response:
        """A task that you hold or held."""
        return Response(lease_data(get_lease(request.user, public_id, LEASE_WITH_ANSWERS)))


class LeaseSubmit(APIView):
    @extend_schema(request=SubmissionSerializer, responses={200: SubmittedSerializer, 201: SubmittedSerializer})
    def post(self, request: Request, public_id: UUID) -> Response:
        """Hand in a ranking. Sending it again is safe: 201 the first time, 200 after that."""
        lease = get_lease(request.user, public_id, LEASE_TO_SUBMIT)
        given = dict(SUBMISSION.run_validation(request.data))
        items = [SubmittedItem(completion_id=row.pop("completion"), **row) for row in map(dict, given.pop("items"))]
        result = services.submit_ranking(lease=lease, submission=Submission(items=items, **given))
        return Response(SUBMITTED.to_representation(result), status=200 if result.is_repeat else 201)


class LeaseSkip(APIView):
    @extend_schema(request=SkipSerializer, responses=LeaseStateSerializer)
    def post(self, request: Request, public_id: UUID) -> Response:
        """Pass a task on to others."""
        lease = get_lease(request.user, public_id)
        asked = SkipSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        lease = services.skip_task(lease=lease, **asked.validated_data)
        return Response(LeaseStateSerializer(lease).data)


class LeaseReport(APIView):
    @extend_schema(request=OwnReportSerializer, responses={201: OwnReportSerializer})
    def post(self, request: Request, public_id: UUID) -> Response:
        """Tell the campaign's manager that something is wrong with the task; you still hold it."""
        lease = get_lease(request.user, public_id)
        asked = OwnReportSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        report = services.report_task(lease=lease, **asked.validated_data)
        return Response(OwnReportSerializer(report).data, status=201)


class LeaseRelease(APIView):
    @extend_schema(request=None, responses=LeaseStateSerializer)
    def post(self, request: Request, public_id: UUID) -> Response:
        """Give a task back; you may get it again."""
        return Response(LeaseStateSerializer(services.release_lease(lease=get_lease(request.user, public_id))).data)


class LeaseRenew(APIView):
    @extend_schema(request=None, responses=LeaseStateSerializer)
    def post(self, request: Request, public_id: UUID) -> Response:
        """Hold a task for another full term, and the one that you fetched ahead."""
        return Response(LeaseStateSerializer(services.renew_lease(lease=get_lease(request.user, public_id))).data)


class LeaseDraft(APIView):
    @extend_schema(request=DraftSerializer, responses=LeaseStateSerializer)
    def put(self, request: Request, public_id: UUID) -> Response:
        """Keep unfinished work."""
        lease = get_lease(request.user, public_id)
        asked = DraftSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        lease = services.save_draft(lease=lease, draft=asked.validated_data["draft"])
        return Response(LeaseStateSerializer(lease).data)
