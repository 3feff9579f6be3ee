from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reward.training.groups import Answer, Group, Pair
from reward.training.orders import Order, orders_of


def group(*pairs: tuple[int, int, int], labeler: str = "ann", weight: float = 1.0) -> Group:
    said = [Pair(first, second, outcome, weight, labeler, None) for first, second, outcome in pairs]
    return Group("a", "train", [1], [Answer([5], 1)] * 6, said)


@given(st.lists(st.integers(1, 4), min_size=2, max_size=6), st.randoms())
def test_the_pairs_of_a_ranking_give_it_back(ranks: list[int], shuffler: object) -> None:
    pairs = [(i, j, (ranks[i] < ranks[j]) - (ranks[i] > ranks[j])) for j in range(len(ranks)) for i in range(j)]
    shuffler.shuffle(pairs)  # type: ignore[attr-defined]
    [order] = orders_of(group(*pairs))
    assert [ranks[answer] for answer in order.answers] == sorted(ranks)
    assert order.tied == [False, *(a == b for a, b in zip(sorted(ranks), sorted(ranks)[1:], strict=False))]


def test_two_lists_that_one_person_ranked_stay_apart() -> None:
    orders = orders_of(group((0, 1, -1), (3, 2, 0)))
    assert orders == [Order("ann", [1, 0], [False, False], 1.0), Order("ann", [2, 3], [False, True], 1.0)]


def test_a_circle_and_a_gap_stay_pairs_that_share_one_rankings_weight() -> None:
    circle = orders_of(group((0, 1, 1), (1, 2, 1), (2, 0, 1), weight=2.0))
    assert [(order.answers, order.weight) for order in circle] == [([0, 1], 2 / 3), ([1, 2], 2 / 3), ([2, 0], 2 / 3)]
    gap = orders_of(group((0, 1, 1), (1, 2, 1)))
    assert [(order.answers, order.weight) for order in gap] == [([0, 1], 0.5), ([1, 2], 0.5)]
