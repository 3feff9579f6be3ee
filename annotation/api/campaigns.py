"""Campaigns: list, settings, states, guidelines, seats, and the numbers about them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.access import MANAGES, workspace_for
from accounts.api.person import person
from accounts.errors import Refused
from accounts.models import User
from annotation import services
from annotation.access import campaigns_seen_by, get_campaign
from annotation.api.base import CampaignList
from annotation.models import Campaign, GuidelineVersion, Membership
from annotation.personas import CREW
from annotation.protocols import Protocol
from annotation.quality import QualityPlan
from annotation.queries import agreement, campaign_progress, labeler_stats
from annotation.simulation import start_simulation


class CampaignSerializer(serializers.ModelSerializer[Campaign]):
    id = serializers.UUIDField(source="public_id")
    workspace = serializers.UUIDField(source="workspace.public_id")
    state = serializers.CharField()
    protocol = serializers.CharField()

    class Meta:
        model = Campaign
        fields = [
            "id",
            "workspace",
            "name",
            "state",
            "protocol",
            "questions",
            "quality",
            "overlap",
            "overlap_max",
            "completions_per_task",
            "lease_seconds",
            "undo_minutes",
            "created_at",
            "closed_at",
        ]


class CampaignSettingsSerializer(serializers.Serializer[None]):
    name = serializers.CharField(max_length=120)
    overlap = serializers.IntegerField(required=False, help_text="Rankings per task, 1 to 50.")
    completions_per_task = serializers.IntegerField(required=False, help_text="Answers per task, 2 to 9.")
    lease_seconds = serializers.IntegerField(required=False, help_text="Length of a lease, 30 s to a day.")
    protocol = serializers.ChoiceField(choices=Protocol.choices, required=False)
    questions = serializers.DictField(
        required=False,
        help_text="rating, rationale, rewrite: no, optional or required; answer_flags, prompt_flags: lists.",
    )
    quality = serializers.DictField(
        required=False, help_text=f"Of {', '.join(field.name for field in fields(QualityPlan))}."
    )
    overlap_max = serializers.IntegerField(
        required=False,
        allow_null=True,
        help_text="Up to so many rankings while one more can change a pair's order; null: no more than `overlap`.",
    )
    undo_minutes = serializers.IntegerField(
        required=False, help_text="How long a labeler may take a ranking back, 0 to 1440."
    )


class NewCampaignSerializer(CampaignSettingsSerializer):
    workspace = serializers.UUIDField(required=False, help_text="Default: your first workspace.")
    guidelines = serializers.CharField(required=False, allow_blank=True, trim_whitespace=False)


class GuidelinesSerializer(serializers.ModelSerializer[GuidelineVersion]):
    text = serializers.CharField(allow_blank=True, trim_whitespace=False)

    class Meta:
        model = GuidelineVersion
        fields = ["number", "text", "asks_again", "created_at"]
        read_only_fields = ["number", "created_at"]


class MemberSerializer(serializers.ModelSerializer[Membership]):
    user = serializers.UUIDField(source="user.public_id")
    username = serializers.CharField(source="user.username")
    role = serializers.CharField()

    class Meta:
        model = Membership
        fields = ["user", "username", "role", "created_at"]


class NewMemberSerializer(serializers.Serializer[None]):
    username = serializers.CharField(max_length=150)
    role = serializers.CharField(default="labeler", help_text="labeler or reviewer")


class ProgressSerializer(serializers.Serializer[Any]):
    num_prompts = serializers.IntegerField()
    num_completions = serializers.IntegerField()
    num_tasks = serializers.IntegerField()
    num_open_tasks = serializers.IntegerField()
    num_open_slots = serializers.IntegerField()
    num_active_leases = serializers.IntegerField()
    num_rankings = serializers.IntegerField()
    num_wanted = serializers.IntegerField(help_text="Rankings that the tasks ask for in all.")


class AgreementSerializer(serializers.Serializer[Any]):
    alpha = serializers.FloatField(allow_null=True, help_text="Krippendorff's ordinal alpha over pairs.")
    num_pairs = serializers.IntegerField(help_text="Pairs that at least two labelers judged.")
    leave_one_out = serializers.FloatField(allow_null=True, help_text="One labeler against the majority of the others.")
    num_leave_one_out = serializers.IntegerField()
    same = serializers.FloatField(allow_null=True, help_text="Share of equal values, ties included.")


class LabelerStatsSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(source="labeler.public_id")
    name = serializers.CharField(source="labeler.name")
    kind = serializers.CharField(source="labeler.kind", help_text="human, simulated or imported")
    num_rankings = serializers.IntegerField()
    num_skipped = serializers.IntegerField()
    median_seconds = serializers.FloatField(allow_null=True)
    agreement = serializers.FloatField(allow_null=True)
    num_compared = serializers.IntegerField()
    excluded_at = serializers.DateTimeField(
        source="exclusion.created_at",
        allow_null=True,
        default=None,
        help_text="Since when their rankings count for nothing; null: they count.",
    )


class SimulateSerializer(serializers.Serializer[None]):
    names = serializers.ListField(
        child=serializers.CharField(max_length=120),
        required=False,
        help_text=f"Of {', '.join(member.name for member in CREW)}; default all.",
    )
    seed = serializers.IntegerField(min_value=0, max_value=2**63 - 1, default=0)
    purpose = serializers.CharField(required=False, help_text="collect or rate; default both.")
    limit = serializers.IntegerField(required=False, min_value=1, help_text="Rankings per labeler at most.")


class StartedSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(source="public_id")
    name = serializers.CharField()
    kind = serializers.CharField()


class Campaigns(generics.ListAPIView[Campaign]):
    serializer_class = CampaignSerializer
    queryset = Campaign.objects.none()

    def get_queryset(self) -> QuerySet[Campaign]:
        return campaigns_seen_by(self.request.user)

    @extend_schema(request=NewCampaignSerializer, responses={201: CampaignSerializer})
    def post(self, request: Request) -> Response:
        """Create a campaign as a draft."""
        asked = NewCampaignSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = dict(asked.validated_data)
        workspace = workspace_for(request.user, MANAGES, given.pop("workspace", None))
        campaign = services.create_campaign(workspace=workspace, by=person(request), **given)
        return Response(CampaignSerializer(campaign).data, status=201)


class CampaignDetail(APIView):
    @extend_schema(responses=CampaignSerializer)
    def get(self, request: Request, public_id: UUID) -> Response:
        """A campaign's settings and state."""
        return Response(CampaignSerializer(get_campaign(request.user, public_id)).data)

    @extend_schema(request=CampaignSettingsSerializer(partial=True), responses=CampaignSerializer)
    def patch(self, request: Request, public_id: UUID) -> Response:
        """Change settings; they count for tasks and leases made from now on."""
        campaign = get_campaign(request.user, public_id, manage=True)
        asked = CampaignSettingsSerializer(data=request.data, partial=True)
        asked.is_valid(raise_exception=True)
        services.update_campaign(campaign=campaign, by=person(request), **asked.validated_data)
        return Response(CampaignSerializer(campaign).data)


class CampaignOpen(APIView):
    @extend_schema(request=None, responses=CampaignSerializer)
    def post(self, request: Request, public_id: UUID) -> Response:
        """Let labelers claim tasks."""
        campaign = get_campaign(request.user, public_id, manage=True)
        return Response(CampaignSerializer(services.open_campaign(campaign=campaign, by=person(request))).data)


class CampaignClose(APIView):
    @extend_schema(request=None, responses=CampaignSerializer)
    def post(self, request: Request, public_id: UUID) -> Response:
        """Hand out no more tasks."""
        campaign = get_campaign(request.user, public_id, manage=True)
        return Response(CampaignSerializer(services.close_campaign(campaign=campaign, by=person(request))).data)


class CampaignArchive(APIView):
    @extend_schema(request=None, responses=CampaignSerializer)
    def post(self, request: Request, public_id: UUID) -> Response:
        """Put a draft or closed campaign away for good."""
        campaign = get_campaign(request.user, public_id, manage=True)
        return Response(CampaignSerializer(services.archive_campaign(campaign=campaign, by=person(request))).data)


class CampaignProgress(APIView):
    @extend_schema(responses=ProgressSerializer)
    def get(self, request: Request, public_id: UUID) -> Response:
        """How much is ranked and how much is wanted."""
        return Response(ProgressSerializer(campaign_progress(get_campaign(request.user, public_id))).data)


class CampaignAgreement(APIView):
    @extend_schema(responses=AgreementSerializer)
    def get(self, request: Request, public_id: UUID) -> Response:
        """How far labelers agree."""
        return Response(AgreementSerializer(agreement(get_campaign(request.user, public_id))).data)


class CampaignLabelers(APIView):
    @extend_schema(responses=LabelerStatsSerializer(many=True))
    def get(self, request: Request, public_id: UUID) -> Response:
        """What each labeler did."""
        return Response(LabelerStatsSerializer(labeler_stats(get_campaign(request.user, public_id)), many=True).data)


class Guidelines(CampaignList[GuidelineVersion]):
    serializer_class = GuidelinesSerializer
    queryset = GuidelineVersion.objects.all()

    @extend_schema(request=GuidelinesSerializer, responses={201: GuidelinesSerializer})
    def post(self, request: Request, public_id: UUID) -> Response:
        """Publish a new version of the guidelines."""
        campaign = get_campaign(request.user, public_id, manage=True)
        asked = GuidelinesSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        version = services.add_guideline_version(campaign=campaign, by=person(request), **asked.validated_data)
        return Response(GuidelinesSerializer(version).data, status=201)


class Members(CampaignList[Membership]):
    serializer_class = MemberSerializer
    queryset = Membership.objects.select_related("user")

    @extend_schema(request=NewMemberSerializer, responses={201: MemberSerializer})
    def post(self, request: Request, public_id: UUID) -> Response:
        """Give a person a seat."""
        campaign = get_campaign(request.user, public_id, manage=True)
        asked = NewMemberSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        user = User.objects.filter(username=asked.validated_data["username"], is_active=True).first()
        if user is None:
            raise Refused(_("There is no such user."), code="user_unknown")
        role = asked.validated_data["role"]
        seat = services.add_member(campaign=campaign, by=person(request), user=user, role=role)
        return Response(MemberSerializer(seat).data, status=201)


class MemberDetail(APIView):
    @extend_schema(responses={204: None})
    def delete(self, request: Request, public_id: UUID, user_id: UUID) -> Response:
        """Take a person's seat away; their rankings stay."""
        campaign = get_campaign(request.user, public_id, manage=True)
        user = generics.get_object_or_404(User, public_id=user_id)
        services.remove_member(campaign=campaign, by=person(request), user=user)
        return Response(status=204)


class Simulate(APIView):
    @extend_schema(request=SimulateSerializer, responses={202: StartedSerializer(many=True)})
    def post(self, request: Request, public_id: UUID) -> Response:
        """Let simulated labelers work through the queue, in the background."""
        campaign = get_campaign(request.user, public_id, manage=True)
        asked = SimulateSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        labelers = start_simulation(campaign=campaign, by=person(request), **asked.validated_data)
        return Response(StartedSerializer(labelers, many=True).data, status=202)
