"""When a run ends early, and that the weights chosen so far are kept."""

from __future__ import annotations

import pytest

from policy.training.config import GuardConfig
from policy.training.evaluate import Evaluation
from policy.training.guard import Guard


def evaluation(step: int, *, tokens: float = 10.0) -> Evaluation:
    return Evaluation(step, {"eval_response_tokens_mean": tokens})


FIRST = evaluation(0)


def codes(guard: Guard, seen: list[tuple[float, bool]]) -> list[str | None]:
    """The alarm of each evaluation, given its answers' length and whether it was the best so far."""
    alarms = [
        guard.look(evaluation(step, tokens=tokens), first=FIRST, is_best=best)
        for step, (tokens, best) in enumerate(seen)
    ]
    return [None if alarm is None else alarm.code for alarm in alarms]


def test_nothing_is_watched_unless_asked() -> None:
    assert codes(Guard(GuardConfig()), [(10, True), *[(500, False)] * 9]) == [None] * 10


def test_evaluations_without_better_weights_are_counted_in_a_row() -> None:
    guard = Guard(GuardConfig(patience_evaluations=2))

    found = codes(guard, [(10, True), (10, False), (10, True), (10, False), (10, False), (10, False)])

    assert found == [None, None, None, None, "no_progress", "no_progress"]


@pytest.mark.parametrize(("tokens", "code"), [(19.9, None), (20.1, "length_drift"), (5.1, None), (4.9, "length_drift")])
def test_answers_may_change_in_length_by_the_factor_and_no_more(tokens: float, code: str | None) -> None:
    assert codes(Guard(GuardConfig(length_factor=2.0)), [(10, True), (tokens, True)]) == [None, code]


def test_the_alarm_is_a_sentence_with_the_numbers() -> None:
    alarm = Guard(GuardConfig(length_factor=1.5)).look(evaluation(7, tokens=31.25), first=FIRST, is_best=False)

    assert alarm is not None
    assert alarm.message == (
        "Answers to validation prompts went from 10.0 to 31.2 tokens, by more than a factor of 1.5; "
        "training ends after step 7."
    )


def test_a_factor_that_allows_no_change_is_refused() -> None:
    with pytest.raises(ValueError, match=r"length_factor \(1\.0\) must be above 1"):
        GuardConfig(length_factor=1.0)
