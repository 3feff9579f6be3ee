from __future__ import annotations

import math

import numpy as np
import pytest

from reward.training.calibration import calibration, length_use
from reward.training.groups import Answer, Group, Pair


def said(count: int, wins: int, *, lengths: tuple[int, int] = (5, 9), name: str = "a") -> Group:
    """`count` words on two answers, of which the first wins `wins`."""
    pairs = [Pair(0, 1, 1 if number < wins else -1, 1.0, str(number), None) for number in range(count)]
    return Group(name, "validation", [1], [Answer([5], length) for length in lengths], pairs)


def test_calibration_by_hand() -> None:
    """A lead of ln 3.01 says 75.06 %, people said 60 %; equal scores say 50 %, and half of any words are right."""
    groups = [said(10, 6), said(10, 9)]
    found = calibration(groups, [np.array([math.log(3.01), 0.0]), np.array([1.0, 1.0])])

    even, sure = (b for b in found.bins if b.num_pairs)
    assert (even.low, even.num_pairs, even.confidence, even.accuracy) == (0.5, 10, 0.5, 0.5)
    assert (sure.low, sure.high, sure.num_pairs) == (0.75, 0.8, 10)
    assert sure.confidence == pytest.approx(3.01 / 4.01)
    assert sure.accuracy == pytest.approx(0.6)
    assert found.ece == pytest.approx(0.5 * (3.01 / 4.01 - 0.6))
    assert sum(b.num_pairs for b in found.bins) == 20


def test_naming_pairs_the_other_way_round_changes_nothing() -> None:
    group = said(10, 7)
    turned = group._replace(pairs=[Pair(p.second, p.first, -p.outcome, 1.0, p.labeler, None) for p in group.pairs])
    scores = [np.array([0.3, 1.1])]
    assert calibration([group], scores) == calibration([turned], scores)


def test_rao_kuppers_threshold_makes_the_model_surer() -> None:
    """d = ln 4, theta = 2: 2/3 against 1/9 is six to one."""
    found = calibration([said(1, 1)], [np.array([math.log(4), 0.0])], threshold=math.log(2))
    [only] = [b for b in found.bins if b.num_pairs]
    assert only.confidence == pytest.approx(6 / 7)


def test_certainty_beyond_the_last_edge_stays_in_the_last_bin() -> None:
    found = calibration([said(4, 4)], [np.array([900.0, 0.0])])
    assert found.bins[-1].num_pairs == 4
    assert found.ece == pytest.approx(0)


def test_ties_have_no_right_answer() -> None:
    group = said(2, 2)._replace(pairs=[Pair(0, 1, 0, 1.0, "x", None), Pair(0, 1, 1, 1.0, "y", None)])
    assert sum(b.num_pairs for b in calibration([group], [np.array([1.0, 0.0])]).bins) == 1


def test_length_use_by_hand() -> None:
    """People took the longer (the second) in 6 of 10; the model does always: .4 further from a half."""
    groups = [said(10, 4, name=str(number)) for number in range(4)]
    use = length_use(groups, [np.array([0.0, 1.0])] * 4, samples=200, seed=0)
    assert use is not None
    assert use.people == pytest.approx(0.6)
    assert (use.model, use.num_pairs) == (1.0, 40)
    assert use.excess == use.low == use.high == pytest.approx(0.4)


def test_answers_of_one_length_say_nothing_of_length() -> None:
    assert length_use([said(10, 4, lengths=(7, 7))], [np.array([0.0, 1.0])], samples=10, seed=0) is None
