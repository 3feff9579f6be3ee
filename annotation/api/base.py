from __future__ import annotations

from typing import TypeVar

from django.db.models import Model, QuerySet
from rest_framework import generics
from rest_framework.parsers import BaseParser

from annotation.access import get_campaign

M = TypeVar("M", bound=Model)


class CampaignList(generics.ListAPIView[M]):
    """A page of a campaign's rows, for the staff of its workspace."""

    campaign_lookup = "campaign"

    def get_queryset(self) -> QuerySet[M]:
        rows = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return rows.none()
        campaign = get_campaign(self.request.user, self.kwargs["public_id"])
        return rows.filter(**{self.campaign_lookup: campaign})


class LinesParser(BaseParser):
    """A body of JSON lines, handed on as it came."""

    media_type = "application/x-ndjson"

    def parse(self, stream, media_type=None, parser_context=None):  # type: ignore[no-untyped-def]
        return {"file": stream}
