"""A campaign's settings: what may be set, and to what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

from django.db.models import Count
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.errors import Conflict, Refused
from accounts.text import check_text
from annotation.models import Campaign, Protocol, Ranking
from annotation.protocols import PAIRWISE, Questions
from annotation.quality import QualityPlan

NAME_MAX_CHARACTERS = 120
MAX_OVERLAP = 50
LIMITS = {
    "overlap": (1, MAX_OVERLAP),
    "completions_per_task": (2, 9),
    "lease_seconds": (30, 86_400),
    "undo_minutes": (0, 1440),
}
LABELS = {
    "overlap": gettext_lazy("Rankings per task"),
    "completions_per_task": gettext_lazy("Answers per task"),
    "lease_seconds": gettext_lazy("A lease in seconds"),
    "undo_minutes": gettext_lazy("Minutes to take a ranking back"),
}


class CampaignSettings(TypedDict):
    """What a campaign can be given besides its name; what is left out stays as it is."""

    protocol: NotRequired[str]
    questions: NotRequired[Mapping[str, Any]]
    quality: NotRequired[Mapping[str, Any]]
    overlap: NotRequired[int]
    overlap_max: NotRequired[int | None]
    completions_per_task: NotRequired[int]
    lease_seconds: NotRequired[int]
    undo_minutes: NotRequired[int]


def put_settings(campaign: Campaign, given: Mapping[str, Any]) -> dict[str, Any]:
    """Set checked values on a campaign, saved or not; return them as they are to be stored.

    Raises:
        Refused: setting_out_of_range, protocol_unknown, protocol_needs_two, questions_invalid, quality_invalid or the
            codes of `check_text`.
        Conflict: protocol_frozen.
    """
    changes = dict(given)
    if "name" in changes:
        check_text(changes["name"], what=_("The name"), max_characters=NAME_MAX_CHARACTERS)
        changes["name"] = changes["name"].strip()
    for field in LIMITS.keys() & changes.keys():
        _check_number(field, changes[field])
    if "questions" in changes:
        changes["questions"] = Questions.read(changes["questions"]).as_json()
    if "quality" in changes:
        changes["quality"] = QualityPlan.read(changes["quality"]).as_json()
    if "protocol" in changes:
        _check_protocol(campaign, changes["protocol"])
    for field, value in changes.items():
        setattr(campaign, field, value)
    _check_overlap_max(campaign)
    _check_pairs(campaign)
    return changes


def _check_number(field: str, value: object) -> None:
    low, high = LIMITS[field]
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise Refused(
            _("%(field)s must be a whole number from %(low)d to %(high)d.")
            % {"field": LABELS[field], "low": low, "high": high},
            code="setting_out_of_range",
        )


def _check_overlap_max(campaign: Campaign) -> None:
    most = campaign.overlap_max
    if most is None:
        return
    if not isinstance(most, int) or isinstance(most, bool) or not campaign.overlap <= most <= MAX_OVERLAP:
        raise Refused(
            _("Rankings per task at most must be a whole number from %(low)d to %(high)d, or empty.")
            % {"low": campaign.overlap, "high": MAX_OVERLAP},
            code="setting_out_of_range",
        )


def _check_protocol(campaign: Campaign, protocol: object) -> None:
    if protocol not in Protocol.values:
        raise Refused(
            _("The protocol must be one of %(known)s.") % {"known": ", ".join(Protocol.values)}, code="protocol_unknown"
        )
    if campaign.pk and protocol != campaign.protocol and Ranking.objects.filter(task__campaign=campaign).exists():
        raise Conflict(
            _("There are rankings already; their protocol stays. Start another campaign to ask in another way."),
            code="protocol_frozen",
        )


def _check_pairs(campaign: Campaign) -> None:
    """A choice between two needs tasks of two."""
    if campaign.protocol not in PAIRWISE:
        return
    others = campaign.tasks.not_archived().annotate(num=Count("items")).exclude(num=2) if campaign.pk else None
    if campaign.completions_per_task != 2 or (others is not None and others.exists()):
        raise Refused(
            _("A choice between two answers needs tasks of two answers; set answers per task to 2."),
            code="protocol_needs_two",
        )
