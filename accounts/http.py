from __future__ import annotations

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

from accounts.models import User


class Request(HttpRequest):
    """What a view behind `login_required` gets: a person, and whether htmx asks for a part of the page."""

    user: User  # type: ignore[assignment]
    htmx: HtmxDetails
