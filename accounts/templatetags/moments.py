"""Points in time on pages."""

from __future__ import annotations

from datetime import UTC, datetime

from django import template
from django.template.defaultfilters import date
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()
FORMS = {"minute": "Y-m-d H:i T", "day": "Y-m-d", "clock": "H:i T", "second": "H:i:s T"}


@register.filter
def moment(value: datetime | None, shows: str = "minute") -> SafeString | str:
    """A `time` element with the moment in it: `static/js/times.js` shows it by the reader's clock.

    Until then, and without JavaScript, it names its zone: the account's, or UTC.

    Args:
        value: aware; None makes nothing.
        shows: minute, day, clock (hours and minutes) or second (with them).
    """
    if value is None:
        return ""
    text = date(timezone.localtime(value), FORMS[shows])
    exact = value.astimezone(UTC).isoformat()
    return format_html('<time datetime="{}" data-shows="{}">{}</time>', exact, shows, text)
