from __future__ import annotations

from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from reward.access import get_snapshot
from reward.downloads import CONTENT_TYPE, preference_file
from reward.groups import TRAINED_SPLITS


class SnapshotPreferences(APIView):
    @extend_schema(
        parameters=[OpenApiParameter("split", enum=[str(split) for split in TRAINED_SPLITS], default="train")],
        responses={(200, CONTENT_TYPE): OpenApiTypes.STR},
    )
    def get(self, request: Request, public_id: Any) -> StreamingHttpResponse:
        """The stated preferences in TRL's format, a line for each labeler's word: prompt, chosen, rejected, margin.

        `margin` is the stated strength (1 to 4) over 4, and 0 where none was stated. Ties have no chosen side and are
        left out; the header `Ties-Left-Out` counts them, `Preferences` the lines.
        """
        return preference_file(get_snapshot(request.user, public_id), request.query_params.get("split", "train"))
