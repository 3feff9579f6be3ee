"""The floors find what there is to find, and no more."""

from __future__ import annotations

import numpy as np

from reward.training import evaluation
from reward.training.evaluation import Numbers
from reward.training.floors import bag_of_words, linear_probe
from reward.training.groups import Answer, Group, Pair

GOOD = 7


def make(count: int, *, seed: int, is_signal: bool = True) -> list[Group]:
    """Answers of random tokens; the one with more of token GOOD wins, or a coin decides."""
    rng = np.random.default_rng(seed)
    groups = []
    for number in range(count):
        answers = [Answer([*rng.integers(20, 60, 12).tolist(), *[GOOD] * int(n)], 1) for n in rng.permutation(3)]
        pairs = []
        for first, second in ((0, 1), (1, 2), (2, 0)):
            gap = answers[first].tokens.count(GOOD) - answers[second].tokens.count(GOOD)
            sign = np.sign(gap) if is_signal else rng.choice([-1, 1])
            pairs.append(Pair(first, second, int(sign), 1.0, "ann", None))
        groups.append(Group(str(number), "train", [1], answers, pairs))
    return groups


def accuracy(groups: list[Group], values: list[Numbers]) -> float:
    return evaluation.accuracy(groups, values, samples=10, seed=0).value


def test_a_bag_of_words_finds_a_word_that_wins() -> None:
    heldout = make(60, seed=2)
    assert accuracy(heldout, bag_of_words(make(60, seed=1), heldout)) > 0.9


def test_a_bag_of_words_cannot_read_a_coin() -> None:
    heldout = make(150, seed=2, is_signal=False)
    assert 0.42 < accuracy(heldout, bag_of_words(make(60, seed=1, is_signal=False), heldout)) < 0.58


def features(groups: list[Group], *, seed: int) -> Numbers:
    """Eight numbers an answer, of which the sixth, on its own scale, counts GOOD."""
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(sum(len(group.answers) for group in groups), 8)) * 10.0 ** np.arange(-4, 4)
    table[:, 5] = [50 + 3 * answer.tokens.count(GOOD) for group in groups for answer in group.answers]
    return table


def test_a_linear_probe_finds_a_direction_whatever_its_scale() -> None:
    train, heldout = make(60, seed=1), make(60, seed=2)
    values = linear_probe(train, heldout, features(train, seed=3), features(heldout, seed=4))
    assert [len(each) for each in values] == [3] * 60
    assert accuracy(heldout, values) > 0.95


def test_one_prompt_is_enough_to_fit_and_preferences_all_one_way_round_are_fine() -> None:
    train = [make(1, seed=1)[0]._replace(pairs=[Pair(0, 1, 1, 1.0, "ann", None)])]
    heldout = make(3, seed=2)
    assert [len(each) for each in bag_of_words(train, heldout)] == [3, 3, 3]
