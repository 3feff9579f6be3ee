"""Accuracy, its interval, the length floor and the ceiling, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from reward.training.evaluation import accuracy, agreement_ceiling, bootstrap_interval, length_floor
from reward.training.groups import Answer, Group, Pair


def group(lengths: list[int], *pairs: tuple[int, int, int, str]) -> Group:
    return Group(
        "p", "train", [1], [Answer([5], n) for n in lengths], [Pair(a, b, o, 1.0, who, None) for a, b, o, who in pairs]
    )


def test_only_stated_preferences_count_and_equal_scores_are_half_right() -> None:
    groups = [
        group([1, 1, 1], (0, 1, 1, "a"), (1, 2, -1, "a"), (0, 2, 0, "a")),  # right, wrong, tie
        group([1, 1], (0, 1, -1, "a"), (0, 1, -1, "b"), (1, 0, 1, "c")),  # equal scores: three halves
        group([1, 1], (0, 1, 0, "a")),  # only a tie: no pair, no prompt
    ]
    scores = [np.array([2.0, 1.0, 0.0]), np.array([1.0, 1.0]), np.array([0.0, 1.0])]

    found = accuracy(groups, scores, samples=1000, seed=0)

    assert found.value == pytest.approx(2.5 / 5)
    assert (found.num_pairs, found.num_prompts) == (5, 2)
    assert (found.low, found.high) == (0.5, 0.5)
    with pytest.raises(ValueError, match="none of 1 groups"):
        accuracy(groups[2:], scores[2:], samples=10, seed=0)


def test_the_interval_is_over_prompts() -> None:
    # Two prompts, 0 of 10 and 10 of 10: a resample holds 0, 1 or 2 good ones with 1/4, 1/2, 1/4.
    assert bootstrap_interval(np.array([[0.0, 10.0], [10.0, 10.0]]), samples=2000, seed=0) == (0.0, 1.0)
    # Twenty prompts, fourteen right: the exact percentiles of a binomial(20, .7) share.
    rows = np.array([[1.0, 1.0]] * 14 + [[0.0, 1.0]] * 6)
    assert bootstrap_interval(rows, samples=10_000, seed=0) == (0.5, 0.9)


def test_the_length_floor_takes_its_direction_from_training() -> None:
    shorter = [group([9, 3, 5], (0, 1, -1, "a"), (0, 2, -1, "a"), (1, 2, -1, "a"))]  # shorter wins 2 of 3
    heldout = [group([4, 8, 8], (0, 1, -1, "a"), (0, 2, -1, "a"), (1, 2, 1, "a"))]  # longer wins 2 of 2, one equal

    assert tuple(length_floor(shorter, heldout)) == pytest.approx((0.5 / 3, False))
    assert tuple(length_floor(heldout, shorter)) == pytest.approx((1 / 3, True))


def test_the_ceiling_leaves_one_labeler_out() -> None:
    groups = [
        # a and b agree, c does not: a meets 1 and -1 (half), b the same, c meets two against it (0).
        group([1, 1], (0, 1, 1, "a"), (1, 0, -1, "b"), (0, 1, -1, "c")),
        # d states a preference, e called it a tie: a tied vote is half right, and e has nothing to predict.
        group([1, 1], (0, 1, 1, "d"), (0, 1, 0, "e")),
        # Alone: nobody to predict from.
        group([1, 1], (0, 1, 1, "f")),
    ]

    assert agreement_ceiling(groups) == pytest.approx((0.5 + 0.5 + 0.0 + 0.5) / 4)
    assert agreement_ceiling(groups[2:]) is None
    assert agreement_ceiling([group([1, 1], (0, 1, 1, "a"), (0, 1, 1, "b"))]) == 1.0
