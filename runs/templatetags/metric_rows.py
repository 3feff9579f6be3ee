from __future__ import annotations

from typing import Any

from django import template

from runs.metric_help import in_reading_order, metric_help

register = template.Library()


@register.inclusion_tag("runs/parts/metric_rows.html")
def metric_rows(metrics: dict[str, Any]) -> dict[str, Any]:
    """Final figures as a table: name, value, unit, meaning."""
    return {"rows": [(metric_help(name), name, metrics[name]) for name in in_reading_order(list(metrics))]}
