from __future__ import annotations

from pathlib import Path

from django.core.management import call_command
from django.urls import reverse
from rest_framework.test import APIClient

ROOMS = {
    "/api/v1/me/",
    "/api/v1/campaigns/",
    "/api/v1/leases/{public_id}/submit/",
    "/api/v1/runs/compare/",
    "/api/v1/runs/{public_id}/metrics/",
    "/api/v1/snapshots/{public_id}/train/",
    "/api/v1/reward-models/",
    "/api/v1/reward-models/{public_id}/score/",
    "/api/v1/reward-models/{public_id}/scores/",
    "/api/v1/completions/{public_id}/explanations/",
    "/api/v1/checkpoints/{public_id}/verify/",
    "/api/v1/win-rate-studies/",
}


def test_the_schema_is_valid_and_made_without_a_warning(tmp_path: Path) -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", file=str(tmp_path / "schema.yml"))

    assert (tmp_path / "schema.yml").stat().st_size > 10_000


def test_the_schema_has_every_room_and_types_a_studys_result(db: None) -> None:
    schema = APIClient().get(reverse("schema"), {"format": "json"}).json()

    assert set(schema["paths"]) >= ROOMS
    assert "WinRate" in str(schema["components"]["schemas"]["StudyDetail"]["properties"]["result"])
