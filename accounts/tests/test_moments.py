"""Times on pages: exact for the browser, and readable without it in the zone of the account."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from accounts.templatetags.moments import moment
from annotation.services import add_guideline_version
from tests.cast import Cast, make_campaign, web

AT = datetime(2026, 3, 5, 22, 7, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "shows", "text"),
    [
        (None, "minute", "2026-03-05 22:07 UTC"),
        (None, "second", "22:07:09 UTC"),
        ("Asia/Kolkata", "minute", "2026-03-06 03:37 IST"),
        ("Asia/Kolkata", "day", "2026-03-06"),
        ("Asia/Kolkata", "clock", "03:37 IST"),
    ],
)
def test_a_moment_is_exact_and_names_its_zone(zone: str | None, shows: str, text: str) -> None:
    with timezone.override(zone):
        made = moment(AT, shows)

    assert made == f'<time datetime="2026-03-05T22:07:09+00:00" data-shows="{shows}">{text}</time>'


def test_no_moment_is_nothing() -> None:
    assert moment(None) == ""


@pytest.mark.parametrize(("zone", "names"), [("", "UTC"), ("Asia/Kolkata", "IST"), ("Mars/Base", "UTC")])
def test_a_page_names_the_zone_of_the_account(cast: Cast, zone: str, names: str) -> None:
    campaign = make_campaign(cast)
    User.objects.filter(pk=cast.manager.pk).update(timezone=zone)
    version = add_guideline_version(campaign=campaign, by=cast.manager, text="Be kind.")

    text = web(cast.manager).get(reverse("annotation:campaign-guidelines", args=[campaign.public_id])).content.decode()

    assert version.created_at.isoformat() in text
    assert f" {names}</time>" in text
    assert (f'data-time-zone="{zone}"' in text) == bool(zone)


def test_a_zone_that_is_not_known_is_refused_in_the_admin(cast: Cast) -> None:
    cast.alice.timezone = "Mars/Base"

    with pytest.raises(ValidationError, match="not a known time zone"):
        cast.alice.full_clean()
