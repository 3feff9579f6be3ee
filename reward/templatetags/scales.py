"""A share with its interval, drawn on a scale; positions are per cent of the width, so that no style is needed."""

from __future__ import annotations

from typing import Any

from django import template

register = template.Library()

LOWEST = 0.4
"""Where an accuracy scale begins: a coin stands at a half, nothing sensible below this."""


@register.inclusion_tag("reward/parts/accuracy_scale.html")
def accuracy_scale(metrics: dict[str, Any]) -> dict[str, Any]:
    """Held-out accuracy with its interval beside the length floor and people's own agreement."""
    found = {
        name: metrics.get(f"rm_{name}")
        for name in ("accuracy", "accuracy_low", "accuracy_high", "floor_length", "ceiling")
    }
    return scale(found, lowest=LOWEST) | {
        "ticks": [(f"{tick} %", at(tick / 100, LOWEST)) for tick in (40, 55, 70, 85, 100)]
    }


@register.inclusion_tag("policy/parts/win_scale.html")
def win_scale(result: Any) -> dict[str, Any]:
    """A win rate with its interval; one half means no difference."""
    found = {"mean": result.mean, "low": result.low, "high": result.high}
    return scale(found, lowest=0.0) | {"ticks": [(f"{tick} %", at(tick / 100, 0.0)) for tick in (0, 25, 50, 75, 100)]}


@register.inclusion_tag("reward/parts/interval_bar.html")
def interval_bar(mean: float, low: float, high: float) -> dict[str, Any]:
    """A share with its interval on a scale from 0 to 1, without figures."""
    return scale({"mean": mean, "low": low, "high": high}, lowest=0.0) | {"low_share": low, "high_share": high}


@register.filter
def points(difference: float | None) -> str:
    """A difference of two shares in percentage points, with its sign."""
    return "–" if difference is None else f"{100 * difference:+.1f} pp".replace("-", "−")


def scale(shares: dict[str, float | None], *, lowest: float) -> dict[str, Any]:
    """The shares themselves, and under name_at where each stands."""
    places = {f"{name}_at": None if share is None else at(share, lowest) for name, share in shares.items()}
    width = None
    for low, high in (("low", "high"), ("accuracy_low", "accuracy_high")):
        if shares.get(low) is not None and shares.get(high) is not None:
            width = f"{number(shares[high], lowest) - number(shares[low], lowest):.2f}%"
    return {**shares, **places, "width": width}


def number(share: float | None, lowest: float) -> float:
    inside = min(1.0, max(lowest, share or 0.0))
    return 100 * (inside - lowest) / (1 - lowest)


def at(share: float, lowest: float) -> str:
    return f"{number(share, lowest):.2f}%"
