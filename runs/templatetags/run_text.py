"""Figures of a run in words."""

from __future__ import annotations

import math

from django import template
from django.utils.translation import gettext as _

from runs import kinds
from runs.metric_help import MetricHelp, metric_help

register = template.Library()

NO_BREAK = "\u00a0"
"""Between a number and its unit: a line that ends with a bare number reads as another one."""


@register.filter
def duration(seconds: float | str | None) -> str:
    """Seconds as people say them: 42 s, 3 min 5 s, 2 h 10 min."""
    if not isinstance(seconds, int | float) or not math.isfinite(seconds):
        return "–"
    whole = max(0, round(seconds))
    if whole < 60:
        text = _("%(s)d s") % {"s": whole}
    elif whole < 3600:
        text = _("%(m)d min %(s)d s") % {"m": whole // 60, "s": whole % 60}
    else:
        text = _("%(h)d h %(m)d min") % {"h": whole // 3600, "m": whole % 3600 // 60}
    return text.replace(" ", NO_BREAK)


@register.filter
def figure(value: object) -> str:
    """A number with four significant digits, or all of its whole part; anything else as it is."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e6):
        return f"{int(value):,}"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:,.4g}"


@register.filter
def brief(value: float | None) -> str:
    """A number with two decimals, or two significant digits where it is small: many of them stand in a line."""
    if value is None or float(value).is_integer() or abs(value) >= 100:
        return figure(value).replace("-", "−")
    return f"{value:.2f}".replace("-", "−") if abs(value) >= 0.1 else f"{value:.2g}".replace("-", "−")


@register.filter
def change(value: float) -> str:
    """A difference with its sign."""
    return f"+{brief(value)}" if value > 0 else brief(value) if value else "±0"


@register.filter
def described(name: str) -> MetricHelp:
    return metric_help(name)


@register.filter
def kind_title(name: str) -> str:
    return kinds.kind_title(name)


@register.filter
def percent(share: float | str | None) -> str:
    """A share of 0 to 1 with one decimal; a dash for one that is not known."""
    return f"{100 * share:.1f}{NO_BREAK}%" if isinstance(share, int | float) else "–"
