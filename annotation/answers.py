"""What an answer and a set of answers must be like."""

from __future__ import annotations

from django.conf import settings
from django.utils.translation import gettext as _

from accounts.errors import Refused
from accounts.text import check_text

MIN_ANSWERS, MAX_ANSWERS = 2, 9
"""Answers in one task: more than nine nobody ranks by hand."""


def check_answer(text: object) -> str:
    """Return an answer that came from outside.

    Raises:
        Refused: the codes of `check_text`.
    """
    return check_text(text, what=_("An answer"), max_characters=settings.COMPLETION_MAX_CHARACTERS)


def check_num_answers(num: int) -> None:
    """Refuse a task that nobody can rank.

    Raises:
        Refused: too_few_answers, too_many_answers.
    """
    if num < MIN_ANSWERS:
        raise Refused(_("A task needs at least %(min)d answers.") % {"min": MIN_ANSWERS}, code="too_few_answers")
    if num > MAX_ANSWERS:
        raise Refused(_("A task has at most %(max)d answers.") % {"max": MAX_ANSWERS}, code="too_many_answers")
