"""How a campaign keeps its labels good: gold, repeats, qualification and limits; pure, no database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from django.utils.translation import gettext as _

from accounts.errors import Refused

LIMITS: dict[str, tuple[float, float]] = {
    "gold_every": (0, 1000),
    "gold_min": (0, 1),
    "repeat_every": (0, 1000),
    "repeat_after": (1, 1000),
    "qualification_min": (0, 1),
    "attempts": (1, 20),
    "max_per_day": (1, 100_000),
    "max_in_all": (1, 1_000_000),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityPlan:
    """What is planned for every labeler of a campaign. `Campaign.quality` holds it as JSON."""

    gold_every: int = 0
    """One task in so many is a gold task, at a place nobody can tell; 0: none."""
    gold_min: float = 0.7
    """Mean score on gold tasks under which the manager is told, in [0, 1]."""
    repeat_every: int = 0
    """One task in so many is one they ranked before, its answers in turned order; 0: none."""
    repeat_after: int = 10
    """Rankings between a task and its repeat, at least."""
    qualifies: bool = False
    """Labelers do the training tasks first, with feedback, and go on when their score is high enough."""
    qualification_min: float = 0.7
    """Mean score on the training tasks that is enough, in [0, 1]."""
    attempts: int = 2
    """How often they may try."""
    max_per_day: int | None = None
    """Rankings a labeler may hand in on a day (UTC)."""
    max_in_all: int | None = None
    """Rankings a labeler may hand in altogether."""

    @classmethod
    def read(cls, stored: Mapping[str, Any] | None) -> Self:
        """The plan as stored; what is left out has its default.

        Raises:
            Refused: quality_invalid.
        """
        stored = stored or {}
        kinds = {field.name: field.type for field in fields(cls)}
        for name, value in stored.items():
            if name not in kinds or not _fits(name, value, str(kinds[name])):
                raise Refused(
                    _("“%(name)s” cannot be %(value)r in a quality plan.") % {"name": name, "value": value},
                    code="quality_invalid",
                )
        return cls(**stored)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def _fits(name: str, value: Any, kind: str) -> bool:
    if kind == "bool":
        return isinstance(value, bool)
    if value is None:
        return kind.endswith("None")
    whole = not kind.startswith("float")
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return False
    low, high = LIMITS[name]
    return low <= value <= high
