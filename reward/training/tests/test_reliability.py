"""Bad labelers are found: by themselves among honest ones, of every kind, with 30 % of the labels corrupted."""

from __future__ import annotations

import numpy as np
import pytest

from reward.training.groups import Answer, Group, Pair
from reward.training.reliability import Reliability, estimate_reliability, labeler_weights
from reward.training.tests.crowds import HONEST, judge

HONEST_NAMES, BAD_NAMES = [f"honest {i}" for i in range(7)], [f"bad {i}" for i in range(3)]
KINDS = ("random", "position-biased", "length-biased", "adversarial")


def simulate(kind: str, *, prompts: int = 80, seed: int = 1) -> list[Group]:
    """Four answers a prompt, each ranked by three of ten labelers, three of whom are bad; length is worth nothing."""
    rng = np.random.default_rng(seed)
    groups = []
    for number in range(prompts):
        quality, length = rng.normal(size=(2, 4))
        pairs = []
        for name in rng.choice([*HONEST_NAMES, *BAD_NAMES], 3, replace=False):
            pairs += judge(str(name), kind if name in BAD_NAMES else HONEST, rng, quality, length)
        groups.append(Group(str(number), "train", [1], [Answer([5], 1)] * 4, pairs))
    return groups


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_bad_labelers_are_found(kind: str, seed: int) -> None:
    found = estimate_reliability(simulate(kind, seed=seed))
    assert {name for name, each in found.items() if each.probability < 0.66} == set(BAD_NAMES)
    honest = [found[name].weight for name in HONEST_NAMES]
    assert max(found[name].weight for name in BAD_NAMES) < 0.5 * np.mean(honest)


def test_one_coin_by_hand() -> None:
    """Nine couples on which two agree and a third says the opposite: EM ends where the pseudo-counts leave it."""
    said = [Pair(0, 1, 1, 1.0, "ann", None), Pair(1, 0, -1, 1.0, "bob", None), Pair(0, 1, -1, 1.0, "cem", None)]
    found = estimate_reliability([Group(str(n), "train", [1], [Answer([5], 1)] * 2, said) for n in range(9)])
    assert found["ann"] == found["bob"]
    assert found["ann"].probability == pytest.approx(12 / 13, abs=0.01)
    assert found["cem"].probability == pytest.approx(3 / 13, abs=0.01)
    assert found["cem"].weight == 0
    assert (found["ann"].num_pairs, found["ann"].num_shared) == (9, 9)


def test_a_labeler_alone_is_neither_believed_nor_doubted() -> None:
    """Nothing of what they say can be compared, so the estimate stays where the prior is, 3 of 4."""
    alone = [Group(str(n), "train", [1], [Answer([5], 1)] * 2, [Pair(0, 1, 1, 1.0, "ann", None)]) for n in range(50)]
    found = estimate_reliability(alone)
    assert found["ann"].num_shared == 0
    assert found["ann"].probability == pytest.approx(0.75, abs=0.01)


def test_ties_say_nothing() -> None:
    tie = [Group("a", "train", [1], [Answer([5], 1)] * 2, [Pair(0, 1, 0, 1.0, "ann", None)])]
    assert estimate_reliability(tie) == {}


def test_weights_have_mean_one_over_words_and_coins_only_weigh_the_same() -> None:
    found = {"a": Reliability(0.9, 30, 30), "b": Reliability(0.6, 10, 10), "c": Reliability(0.3, 20, 20)}
    weights = labeler_weights(found)
    assert sum(weights[name] * found[name].num_pairs for name in found) == pytest.approx(60)
    assert weights["a"] / weights["b"] == pytest.approx(np.log(9) / np.log(1.5))
    assert weights["c"] == 0
    assert labeler_weights({"c": found["c"]}) == {"c": 1.0}
