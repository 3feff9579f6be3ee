from __future__ import annotations

from django.forms import BaseForm
from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

from accounts.errors import Refused
from accounts.models import User


class Request(HttpRequest):
    """What a view behind `login_required` gets: a person, and whether htmx asks for a part of the page."""

    user: User  # type: ignore[assignment]
    htmx: HtmxDetails


def form_status(form: BaseForm, refused: Refused | None) -> int:
    """The status of a page with a form on it: that of the refusal, 422 with errors in the fields, else 200."""
    if refused is not None:
        return refused.status
    return 422 if form.errors else 200
