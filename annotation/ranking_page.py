"""What the ranking page shows of a lease: its answers as this labeler sees them, and how they are asked about."""

from __future__ import annotations

from string import ascii_uppercase
from typing import Any, NamedTuple

from django.http import QueryDict

from accounts.errors import Refused
from accounts.word_diff import Piece, word_diff
from annotation.desk import guideline_changes
from annotation.models import Lease, PlacedAnswer, ReportKind, SkipReason, TaskRole
from annotation.protocols import Protocol, Questions
from annotation.ranking_form import RankingForm, initial_from
from annotation.services import SubmitResult, lease_guidelines
from annotation.states import LeaseState


class Parts(NamedTuple):
    """The templates by which a protocol asks: under each answer, and beside them all."""

    answer: str
    whole: str
    keys: str


PARTS: dict[str, Parts] = {
    Protocol.RANKING: Parts("places", "board", "keys_places"),
    Protocol.STRICT: Parts("places", "board", "keys_places"),
    Protocol.STRENGTH: Parts("degrees", "nothing", "keys_points"),
    Protocol.SCALE: Parts("nothing", "points", "keys_points"),
    Protocol.BEST: Parts("best", "nothing", "keys_best"),
}


class Point(NamedTuple):
    """One of the eight places of a preference between two answers, from the first far better to the second."""

    key: int
    value: str
    """As in the form: position of the better answer and strength."""
    letter: str
    label: str
    is_chosen: bool


def shown_answers(lease: Lease) -> list[PlacedAnswer]:
    """The lease's answers in the order in which this labeler sees them."""
    by_id = {str(answer.public_id): answer for answer in lease.task.placed_answers}
    return [by_id[key] for key in lease.shown if key in by_id]


def ranking_form(lease: Lease, said: QueryDict | None = None) -> RankingForm:
    """The form on a lease's answers: what was sent, or what the draft holds."""
    campaign = lease.task.campaign
    initial = initial_from(lease.draft, protocol=campaign.protocol, shown=lease.shown) if said is None else None
    return RankingForm(
        said,
        completions=shown_answers(lease),
        protocol=campaign.protocol,
        questions=Questions.read(campaign.questions),
        initial=initial,
    )


def points_of(form: RankingForm) -> list[Point]:
    options = [option.data for option in form["preference"]]
    return [
        Point(key, option["value"], ascii_uppercase[int(option["value"][0])], option["label"], option["selected"])
        for key, option in enumerate(options, start=1)
    ]


def ranking_context(lease: Lease, form: RankingForm, refused: Refused | None = None) -> dict[str, Any]:
    campaign = lease.task.campaign
    guideline = lease_guidelines(lease)
    answers = form.answers()
    points = points_of(form) if "preference" in form.fields else []
    return {
        "lease": lease,
        "campaign": campaign,
        "prompt": lease.task.prompt,
        "guideline": guideline,
        "changes": guideline_changes(lease, guideline),
        "form": form,
        "answers": answers,
        "parts": PARTS[campaign.protocol],
        "points": points,
        # Under each answer the strongest stands first.
        "degrees": [*points[:4], *reversed(points[4:])],
        "ranks": range(1, len(answers) + 1),
        "skip_reasons": SkipReason.choices,
        "report_kinds": ReportKind.choices,
        "refused": refused,
        "is_training": lease.task.role == TaskRole.TRAINING,
        "is_expired": lease.state == LeaseState.EXPIRED,
    }


class Checked(NamedTuple):
    """An answer of a training task: what the labeler said of it, and what was expected."""

    letter: str
    text: str
    rank: int | None
    expected: int | None


def feedback_context(lease: Lease, form: RankingForm, result: SubmitResult) -> dict[str, Any]:
    ranks = {str(item.completion.public_id): item.rank for item in result.ranking.items.select_related("completion")}
    expected = result.feedback.expected if result.feedback else {}
    return {
        "campaign": lease.task.campaign,
        "prompt": lease.task.prompt,
        "feedback": result.feedback,
        "checked": [
            Checked(answer.letter, answer.text, ranks[answer.id], expected.get(answer.id)) for answer in form.answers()
        ],
    }


class Comparison(NamedTuple):
    """Two answers word by word; `pieces` is None for texts that are too long."""

    letters: list[str]
    left: str
    right: str
    pieces: tuple[Piece, ...] | None
    is_same: bool


def compare(lease: Lease, left: str, right: str) -> Comparison:
    """The answers with these letters; the first two for letters that no answer has."""
    by_letter = dict(zip(ascii_uppercase, shown_answers(lease), strict=False))
    letters = list(by_letter)
    left = left if left in by_letter else letters[0]
    right = right if right in by_letter else next(letter for letter in letters if letter != left)
    texts = by_letter[left].text, by_letter[right].text
    return Comparison(letters, left, right, word_diff(*texts), is_same=texts[0] == texts[1])
