"""A heat map's figures and classes; colours are a few classes, because the site allows no inline style."""

from __future__ import annotations

from django import template

from reward.completion_page import Piece

register = template.Library()

MINUS = "−"
SPACES = str.maketrans({" ": "·", "\n": "↵", "\t": "⇥"})


@register.filter
def signed(value: float | None) -> str:
    """A figure in reward units with its sign and two decimals, or two significant digits where it is small."""
    if value is None:
        return "–"
    digits = f"{abs(value):.2f}" if abs(value) >= 0.1 or value == 0 else f"{abs(value):.2g}"
    return f"{MINUS if value < 0 else '+'}{digits}" if value else "0"


@register.filter
def unsigned(value: float) -> str:
    """A figure in reward units that is never negative."""
    return signed(value).removeprefix("+")


@register.filter
def lowered(value: float) -> str:
    """The same strength, downwards."""
    return signed(-value)


@register.filter
def whole_percent(share: float) -> str:
    return f"{100 * share:.0f}\u00a0%".replace("-", MINUS)


@register.filter
def heat_class(piece: Piece) -> str:
    """As `heat up heat-4`; a piece too weak for a colour is `heat none`."""
    if piece.level == 0:
        return "heat none"
    return f"heat {'up' if piece.is_up else 'down'} heat-{piece.level}"


@register.filter
def visible_spaces(text: str) -> str:
    """Spaces, tabs and line ends as signs, for a table in which a piece may be nothing else."""
    return text.translate(SPACES)
