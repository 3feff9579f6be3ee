"""What a labeler hands in, checked against what they were shown and asked; pure, no database."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from accounts.errors import Refused
from accounts.text import check_text
from annotation.answers import check_answer
from annotation.protocols import PAIRWISE, Protocol, Questions

RATIONALE_MAX_CHARACTERS = 10_000
REASON_MAX_CHARACTERS = 200
MAX_STRENGTH = 4
MAX_RATING = 7
NO_QUESTIONS = Questions()


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
    """Of the campaign's `Questions.answer_flags`."""
    rewrite: str = ""
    """The labeler's own better version; blank: none."""
    seen_seconds: float | None = None
    """Seconds with the answer in view."""


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
    prompt_flags: Sequence[str] = ()
    """Of the campaign's `Questions.prompt_flags`."""


def dense(ranks: Sequence[int | None]) -> list[int | None]:
    """Return the ranks without gaps: (1, 5, 5, None) -> (1, 2, 2, None)."""
    place = {rank: number for number, rank in enumerate(sorted({r for r in ranks if r is not None}), start=1)}
    return [None if rank is None else place[rank] for rank in ranks]


def checked(
    submission: Submission,
    shown: Sequence[str],
    *,
    protocol: str = Protocol.RANKING,
    questions: Questions = NO_QUESTIONS,
) -> Submission:
    """Return the submission in one form: items in the order shown, ranks dense, flags sorted.

    Args:
        shown: public ids of the answers, in the order in which the labeler saw them.

    Raises:
        Refused: ranking_foreign_completion, ranking_duplicate, ranking_incomplete, rank_invalid, rating_invalid,
            strength_invalid, flags_invalid, seconds_invalid, what the protocol or the questions do not allow
            (ranking_tied, choice_missing, strength_missing, rating_missing, rationale_missing, rewrite_missing) or the
            codes of `check_text`.
    """
    items = [_checked_item(item, questions) for item in _in_order(submission.items, shown)]
    _check_rest(submission, questions, num_answers=len(shown))
    ranks = dense([item.rank for item in items])
    if any(rank is not None for rank in ranks) or not submission.none_acceptable:
        _check_protocol(ranks, submission.strength, protocol)
    if protocol == Protocol.BEST:
        # The others were not compared with each other: they share a rank that says only "not the best".
        ranks = [None if rank is None else min(rank, 2) for rank in ranks]
    _check_asked(items, submission, questions)
    return replace(
        submission,
        items=tuple(
            replace(
                item,
                rank=rank,
                unrankable_reason=item.unrankable_reason if rank is None else "",
                flags=tuple(sorted(set(item.flags))),
            )
            for item, rank in zip(items, ranks, strict=True)
        ),
        prompt_flags=tuple(sorted(set(submission.prompt_flags))),
    )


def _in_order(items: Sequence[SubmittedItem], shown: Sequence[str]) -> list[SubmittedItem]:
    """One item for each answer shown, in that order."""
    given = [str(item.completion_id) for item in items]
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
    by_id = {str(item.completion_id): item for item in items}
    return [by_id[public_id] for public_id in shown]


def _check_protocol(ranks: Sequence[int | None], strength: int | None, protocol: str) -> None:
    """Refuse an order that the campaign's protocol does not take."""
    known = [rank for rank in ranks if rank is not None]
    if not known:
        raise Refused(
            _("No answer is ranked; rank at least one, say that none is acceptable, or skip the task."),
            code="ranking_incomplete",
        )
    if protocol == Protocol.STRICT and len(set(known)) < len(known):
        raise Refused(_("Two answers share a place; this campaign takes no ties."), code="ranking_tied")
    if protocol == Protocol.BEST and known.count(1) != 1:
        raise Refused(_("Choose the one answer that is best."), code="choice_missing")
    if protocol in PAIRWISE:
        if sorted(known) != [1, 2]:
            raise Refused(_("Choose one of the two answers; this campaign takes no ties."), code="choice_missing")
        if strength is None:
            raise Refused(_("Say how much better the chosen answer is."), code="strength_missing")


def _check_asked(items: Sequence[SubmittedItem], submission: Submission, questions: Questions) -> None:
    """Refuse what leaves a required question open."""
    if questions.rating == "required" and any(item.rating is None and item.rank is not None for item in items):
        raise Refused(_("Rate each answer from 1 to %(max)d.") % {"max": MAX_RATING}, code="rating_missing")
    if questions.rationale == "required" and not submission.rationale.strip():
        raise Refused(_("Say why in a few words."), code="rationale_missing")
    if questions.rewrite == "required" and not any(item.rewrite.strip() for item in items):
        raise Refused(_("Write a better version of at least one answer."), code="rewrite_missing")


def _checked_item(item: SubmittedItem, questions: Questions) -> SubmittedItem:
    check_rank(item.rank)
    if item.rating is not None and not _is_whole(item.rating, 1, MAX_RATING):
        raise Refused(
            _("A rating must be a whole number from 1 to %(max)d.") % {"max": MAX_RATING}, code="rating_invalid"
        )
    check_text(item.unrankable_reason, what=_("The reason"), max_characters=REASON_MAX_CHARACTERS, is_required=False)
    check_seconds(item.seen_seconds)
    _check_flags(item.flags, questions.answer_flags)
    if item.rewrite.strip():
        check_answer(item.rewrite)
        return item
    return replace(item, rewrite="")


def _check_flags(flags: object, asked: Sequence[str]) -> None:
    if not isinstance(flags, list | tuple) or any(flag not in asked for flag in flags):
        raise Refused(
            _("Flags must be a list of what this campaign asks: %(asked)s.") % {"asked": ", ".join(asked) or "–"},
            code="flags_invalid",
        )


def check_rank(rank: object) -> None:
    if rank is not None and not _is_whole(rank, 1, 1000):
        raise Refused(_("A rank must be a whole number from 1, or null."), code="rank_invalid")


def _check_rest(submission: Submission, questions: Questions, *, num_answers: int) -> None:
    _check_flags(submission.prompt_flags, questions.prompt_flags)
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
                "rewrite": item.rewrite,
                "seen_seconds": item.seen_seconds,
            }
            for item in submission.items
        ],
        "none_acceptable": submission.none_acceptable,
        "active_seconds": submission.active_seconds,
        "strength": submission.strength,
        "rationale": submission.rationale,
        "prompt_flags": list(submission.prompt_flags),
    }


def body_sha256(submission: Submission) -> str:
    """Hash of what was said. The time it took is left out: a page that sends twice may have counted on meanwhile."""
    body = as_json(submission)
    del body["active_seconds"]
    # What was not asked for is left out too: rankings from before these questions keep their hash.
    if not body["prompt_flags"]:
        del body["prompt_flags"]
    for item in body["items"]:
        del item["seen_seconds"]
        if not item["rewrite"]:
            del item["rewrite"]
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
