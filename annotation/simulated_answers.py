"""A simulated labeler's judgement as an answer to what the campaign asks, under any protocol; pure, no database."""

from __future__ import annotations

from annotation.personas import Judgement, SimulatedLabeler, dense_ranks
from annotation.protocols import PAIRWISE, Protocol, Questions
from annotation.submission import MAX_RATING, MAX_STRENGTH

STRENGTH_STEPS = (1, 4, 10)
"""From how many of the labeler's tie widths on a difference in utility is one degree stronger."""
RATING_STEP = 0.8
"""Utility from one rating to the next; what is just acceptable gets the middle one."""


def ranks_under(protocol: str, judgement: Judgement) -> tuple[int | None, ...]:
    """[K] ranks that the protocol takes: no ties where it has none, and of two answers one that is chosen."""
    if protocol == Protocol.RANKING:
        return judgement.ranks
    ranked = {i: value for i, value in enumerate(judgement.utilities) if not judgement.reasons[i]}
    ranks = dense_ranks(ranked, 0.0)
    if protocol in PAIRWISE and len(ranks) == 1:
        # What cannot be read loses against what can.
        return tuple(ranks.get(i, 2) for i in range(len(judgement.ranks)))
    return tuple(ranks.get(i) for i in range(len(judgement.ranks)))


def strength_under(protocol: str, judge: SimulatedLabeler, judgement: Judgement) -> int | None:
    """1 negligibly to 4 significantly better; None where the protocol does not ask, or no answer can be read."""
    if protocol not in PAIRWISE or all(judgement.reasons):
        return None
    if any(judgement.reasons):
        return MAX_STRENGTH
    first, second = judgement.utilities
    return 1 + sum(abs(first - second) >= steps * judge.tie_width for steps in STRENGTH_STEPS)


def ratings_under(questions: Questions, judge: SimulatedLabeler, judgement: Judgement) -> tuple[int | None, ...]:
    """[K] ratings, 1 to 7, where they are asked; 1 for what cannot be read."""
    if questions.rating == "no":
        return (None,) * len(judgement.ranks)
    middle = (1 + MAX_RATING) // 2
    steps = (round((value - judge.persona.acceptable) / RATING_STEP) for value in judgement.utilities)
    return tuple(
        1 if reason else max(1, min(MAX_RATING, middle + step))
        for step, reason in zip(steps, judgement.reasons, strict=True)
    )


def rationale_under(questions: Questions, judge: SimulatedLabeler) -> str:
    """A sentence where one is required, that nobody takes for a person's."""
    return f"Simulated: {judge.persona.name}." if questions.rationale == "required" else ""
