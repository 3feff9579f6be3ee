"""What a labeler hands in, checked against what they were shown; pure, no database."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from accounts.errors import Refused
from accounts.text import check_text

RATIONALE_MAX_CHARACTERS = 10_000
REASON_MAX_CHARACTERS = 200
FLAG_MAX_CHARACTERS = 40
MAX_FLAGS = 30
MAX_STRENGTH = 4
MAX_RATING = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmittedItem:
    completion_id: UUID
    """Public id of the answer."""
    rank: int | None
    """1 is best, equal ranks are a tie, gaps do not matter; None: could not be ranked."""
    unrankable_reason: str = ""
    rating: int | None = None
    """1 to 7."""
    flags: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    items: Sequence[SubmittedItem]
    none_acceptable: bool = False
    """No answer is good enough to use, whatever their order."""
    active_seconds: float | None = None
    """Seconds with the page in view."""
    strength: int | None = None
    """Of a preference between two answers: 1 negligibly to 4 significantly better."""
    rationale: str = ""


def dense(ranks: Sequence[int | None]) -> list[int | None]:
    """Return the ranks without gaps: (1, 5, 5, None) -> (1, 2, 2, None)."""
    place = {rank: number for number, rank in enumerate(sorted({r for r in ranks if r is not None}), start=1)}
    return [None if rank is None else place[rank] for rank in ranks]


def checked(submission: Submission, shown: Sequence[str]) -> Submission:
    """Return the submission in one form: items in the order shown, ranks dense, flags sorted.

    Args:
        shown: public ids of the answers, in the order in which the labeler saw them.

    Raises:
        Refused: ranking_foreign_completion, ranking_duplicate, ranking_incomplete, rank_invalid, rating_invalid,
            strength_invalid, flags_invalid, seconds_invalid or the codes of `check_text`.
    """
    given = [str(item.completion_id) for item in submission.items]
    if set(given) - set(shown):
        raise Refused(_("The ranking names an answer that is not in this task."), code="ranking_foreign_completion")
    if len(set(given)) < len(given):
        raise Refused(_("The ranking names an answer twice; name each one once."), code="ranking_duplicate")
    if set(given) < set(shown):
        raise Refused(
            _("The ranking misses %(num)d of %(of)d answers; rank each one or mark it as one you cannot rank.")
            % {"num": len(set(shown)) - len(given), "of": len(shown)},
            code="ranking_incomplete",
        )
    by_id = {str(item.completion_id): item for item in submission.items}
    items = [_item(by_id[public_id]) for public_id in shown]
    if all(item.rank is None for item in items) and not submission.none_acceptable:
        raise Refused(
            _("No answer is ranked; rank at least one, say that none is acceptable, or skip the task."),
            code="ranking_incomplete",
        )
    _check_rest(submission, num_answers=len(shown))
    ranks = dense([item.rank for item in items])
    return Submission(
        items=tuple(
            SubmittedItem(
                completion_id=item.completion_id,
                rank=rank,
                unrankable_reason=item.unrankable_reason if rank is None else "",
                rating=item.rating,
                flags=tuple(sorted(set(item.flags))),
            )
            for item, rank in zip(items, ranks, strict=True)
        ),
        none_acceptable=submission.none_acceptable,
        active_seconds=submission.active_seconds,
        strength=submission.strength,
        rationale=submission.rationale,
    )


def _item(item: SubmittedItem) -> SubmittedItem:
    check_rank(item.rank)
    if item.rating is not None and not _is_whole(item.rating, 1, MAX_RATING):
        raise Refused(
            _("A rating must be a whole number from 1 to %(max)d.") % {"max": MAX_RATING}, code="rating_invalid"
        )
    check_text(item.unrankable_reason, what=_("The reason"), max_characters=REASON_MAX_CHARACTERS, is_required=False)
    if not isinstance(item.flags, list | tuple) or len(item.flags) > MAX_FLAGS:
        raise Refused(_("Flags must be a list of at most %(max)d words.") % {"max": MAX_FLAGS}, code="flags_invalid")
    for flag in item.flags:
        check_text(flag, what=_("A flag"), max_characters=FLAG_MAX_CHARACTERS)
    return item


def check_rank(rank: object) -> None:
    if rank is not None and not _is_whole(rank, 1, 1000):
        raise Refused(_("A rank must be a whole number from 1, or null."), code="rank_invalid")


def _check_rest(submission: Submission, *, num_answers: int) -> None:
    check_strength(submission.strength, num_answers=num_answers)
    check_seconds(submission.active_seconds)
    check_text(
        submission.rationale, what=_("The rationale"), max_characters=RATIONALE_MAX_CHARACTERS, is_required=False
    )


def check_strength(strength: object, *, num_answers: int) -> None:
    if strength is not None and (num_answers != 2 or not _is_whole(strength, 1, MAX_STRENGTH)):
        raise Refused(
            _("A strength is a whole number from 1 to %(max)d and belongs to tasks with two answers.")
            % {"max": MAX_STRENGTH},
            code="strength_invalid",
        )


def check_seconds(seconds: object) -> None:
    if seconds is None:
        return
    # The comparison is false for NaN.
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= 1_000_000:
        raise Refused(_("Seconds must be a number from 0 to 1,000,000."), code="seconds_invalid")


def _is_whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def as_json(submission: Submission) -> dict[str, Any]:
    """The submission as JSON: what is kept as a draft and, without the time it took, what is hashed."""
    return {
        "items": [
            {
                "completion": str(item.completion_id),
                "rank": item.rank,
                "unrankable_reason": item.unrankable_reason,
                "rating": item.rating,
                "flags": list(item.flags),
            }
            for item in submission.items
        ],
        "none_acceptable": submission.none_acceptable,
        "active_seconds": submission.active_seconds,
        "strength": submission.strength,
        "rationale": submission.rationale,
    }


def body_sha256(submission: Submission) -> str:
    """Hash of what was said. The time it took is left out: a page that sends twice may have counted on meanwhile."""
    body = as_json(submission)
    del body["active_seconds"]
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
