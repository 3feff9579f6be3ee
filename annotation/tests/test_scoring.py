"""The score of a ranking against a known order, by hand."""

from __future__ import annotations

import pytest

from annotation.scoring import score

KNOWN = {"a": 1, "b": 2, "c": 3}


@pytest.mark.parametrize(
    ("said", "share"),
    [
        ({"a": 1, "b": 2, "c": 3}, 1),
        ({"a": 2, "b": 5, "c": 9}, 1),
        ({"a": 3, "b": 2, "c": 1}, 0),
        # a > b turned, the two with c right.
        ({"a": 2, "b": 1, "c": 3}, 2 / 3),
        # A tie is no preference: a = b misses, a > c and b > c hit.
        ({"a": 1, "b": 1, "c": 2}, 2 / 3),
        # What could not be ranked misses both of its pairs.
        ({"a": 1, "b": 2, "c": None}, 1 / 3),
        ({"a": None, "b": None, "c": None}, 0),
    ],
)
def test_a_score_is_the_share_of_pairs_said_the_same_way(said: dict[str, int | None], share: float) -> None:
    assert score(KNOWN, said, "ranking") == pytest.approx(share)


def test_a_known_tie_is_met_by_a_tie_alone_and_not_asked_where_nobody_can_say_it() -> None:
    known = {"a": 1, "b": 2, "c": 2}

    assert score(known, {"a": 1, "b": 2, "c": 2}, "ranking") == 1
    assert score(known, {"a": 1, "b": 2, "c": 3}, "ranking") == pytest.approx(2 / 3)
    assert score(known, {"a": 1, "b": 2, "c": 3}, "strict") == 1
    assert score({"a": 1, "b": 1}, {"a": 1, "b": 2}, "strength") is None


def test_an_answer_that_is_left_out_is_not_checked() -> None:
    assert score({"a": 1, "c": 2}, {"a": 2, "b": 1, "c": 3}, "ranking") == 1


def test_best_of_all_looks_at_the_pairs_of_the_chosen_one() -> None:
    best = {"a": 2, "b": 1, "c": 2}

    # b was chosen: worse than a in truth, better than c; a and c were not compared.
    assert score(KNOWN, best, "best") == 1 / 2
    assert score(KNOWN, {"a": 1, "b": 2, "c": 2}, "best") == 1


def test_an_order_without_a_pair_has_no_score() -> None:
    assert score({"a": 1}, {"a": 1, "b": 2}, "ranking") is None
