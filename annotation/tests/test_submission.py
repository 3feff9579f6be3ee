from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.errors import Refused
from annotation.protocols import Protocol, Questions
from annotation.submission import Submission, SubmittedItem, body_sha256, checked, dense

A, B, C = (UUID(int=number) for number in (1, 2, 3))
SHOWN = [str(B), str(A), str(C)]


def said(*ranks: tuple[UUID, int | None], **rest: Any) -> Submission:
    return Submission(items=[SubmittedItem(completion_id=key, rank=rank) for key, rank in ranks], **rest)


def test_ranks_lose_their_gaps_and_keep_their_ties() -> None:
    assert dense([1, 5, 5, None]) == [1, 2, 2, None]
    assert dense([7, 3, None, 3]) == [2, 1, None, 1]


@given(st.lists(st.one_of(st.none(), st.integers(1, 1000)), max_size=9))
def test_dense_ranks_order_answers_as_the_given_ones_do(ranks: list[int | None]) -> None:
    found = dense(ranks)

    assert [rank is None for rank in found] == [rank is None for rank in ranks]
    kept = [(given, new) for given, new in zip(ranks, found, strict=True) if given is not None and new is not None]
    assert {(x < y, x == y) == (u < v, u == v) for x, u in kept for y, v in kept} <= {True}
    assert {new for _given, new in kept} == set(range(1, len({given for given, _new in kept}) + 1))


def test_a_checked_ranking_stands_in_the_order_shown() -> None:
    found = checked(said((A, 4), (B, 9), (C, 4)), SHOWN)

    assert [(item.completion_id, item.rank) for item in found.items] == [(B, 2), (A, 1), (C, 1)]


@pytest.mark.parametrize(
    ("submission", "code"),
    [
        (said((A, 1), (B, 2)), "ranking_incomplete"),
        (said(), "ranking_incomplete"),
        (said((A, None), (B, None), (C, None)), "ranking_incomplete"),
        (said((A, 1), (A, 2), (B, 3), (C, 4)), "ranking_duplicate"),
        (said((A, 1), (B, 2), (uuid4(), 3)), "ranking_foreign_completion"),
        (said((A, 0), (B, 1), (C, 2)), "rank_invalid"),
        (said((A, True), (B, 1), (C, 2)), "rank_invalid"),
        (said((A, 1), (B, 1), (C, 2), strength=2), "strength_invalid"),
        (said((A, 1), (B, 1), (C, 2), active_seconds=float("nan")), "seconds_invalid"),
        (said((A, 1), (B, 1), (C, 2), active_seconds=-1), "seconds_invalid"),
        (said((A, 1), (B, 1), (C, 2), rationale="half \ud83d of it"), "lone_surrogate"),
        (said((A, 1), (B, 1), (C, 2), rationale="a\x00b"), "nul_byte"),
        (said((A, 1), (B, 1), (C, 2), rationale="x" * 10_001), "text_too_long"),
    ],
)
def test_a_faulty_ranking_is_refused_by_name(submission: Submission, code: str) -> None:
    with pytest.raises(Refused) as refused:
        checked(submission, SHOWN)

    assert refused.value.code == code


@pytest.mark.parametrize(
    ("item", "code"),
    [
        ({"rating": 8}, "rating_invalid"),
        ({"rating": 0}, "rating_invalid"),
        ({"flags": ["\ud800"]}, "flags_invalid"),
        ({"flags": "violent"}, "flags_invalid"),
        ({"flags": ["sexual"]}, "flags_invalid"),
        ({"rewrite": "a\x00b"}, "nul_byte"),
        ({"seen_seconds": -1.0}, "seconds_invalid"),
        ({"unrankable_reason": "x" * 201}, "text_too_long"),
    ],
)
def test_a_faulty_item_is_refused_by_name(item: dict[str, Any], code: str) -> None:
    submission = Submission(items=[SubmittedItem(completion_id=A, rank=1, **item)])

    with pytest.raises(Refused) as refused:
        checked(submission, [str(A)], questions=Questions(answer_flags=("violent",)))

    assert refused.value.code == code


def test_none_acceptable_may_leave_every_answer_unranked() -> None:
    found = checked(said((A, None), (B, None), (C, None), none_acceptable=True), SHOWN)

    assert [item.rank for item in found.items] == [None, None, None]


def test_the_hash_is_of_what_was_said_and_not_of_the_time_it_took() -> None:
    first = body_sha256(checked(said((A, 1), (B, 3), (C, 3), active_seconds=4.0), SHOWN))

    assert body_sha256(checked(said((C, 8), (A, 2), (B, 8), active_seconds=9.5), SHOWN)) == first
    assert body_sha256(checked(said((A, 1), (B, 3), (C, 2)), SHOWN)) != first
    assert body_sha256(checked(said((A, 1), (B, 3), (C, 3), none_acceptable=True), SHOWN)) != first
    assert body_sha256(checked(said((A, 1), (B, 3), (C, 3), rationale="because"), SHOWN)) != first


def test_what_was_not_asked_leaves_the_hash_as_it_was() -> None:
    """Of a ranking that was handed in before flags and rewrites existed."""
    before = body_sha256(checked(said((A, 1), (B, 2), (C, 2)), SHOWN))
    seen = Submission(
        items=[SubmittedItem(completion_id=key, rank=rank, seen_seconds=3.0) for key, rank in ((A, 1), (B, 2), (C, 2))]
    )

    assert before == "80d1f31f8ec4a5d7d00e426ae7cc7a09b075c355d141d4bfe0233bd9c4f22320"
    assert body_sha256(checked(seen, SHOWN)) == before


PAIR = [str(A), str(B)]


@pytest.mark.parametrize(
    ("protocol", "submission", "shown", "code"),
    [
        (Protocol.STRICT, said((A, 1), (B, 1), (C, 2)), SHOWN, "ranking_tied"),
        (Protocol.BEST, said((A, 1), (B, 1), (C, 2)), SHOWN, "choice_missing"),
        (Protocol.STRENGTH, said((A, 1), (B, 1), strength=3), PAIR, "choice_missing"),
        (Protocol.STRENGTH, said((A, 1), (B, 2)), PAIR, "strength_missing"),
        (Protocol.SCALE, said((A, 1), (B, None), strength=3), PAIR, "choice_missing"),
        (Protocol.SCALE, said((A, 1), (B, 2), strength=5), PAIR, "strength_invalid"),
        (Protocol.BEST, said((A, None), (B, None), (C, None)), SHOWN, "ranking_incomplete"),
    ],
)
def test_a_protocol_refuses_what_it_does_not_ask(
    protocol: str, submission: Submission, shown: list[str], code: str
) -> None:
    with pytest.raises(Refused) as refused:
        checked(submission, shown, protocol=protocol)

    assert refused.value.code == code


def test_every_protocol_takes_its_own_answers() -> None:
    strict = checked(said((A, 3), (B, 1), (C, None)), SHOWN, protocol=Protocol.STRICT)
    assert [item.rank for item in strict.items] == [1, 2, None]
    best = checked(said((A, 2), (B, 3), (C, 1)), SHOWN, protocol=Protocol.BEST)
    assert [item.rank for item in best.items] == [2, 2, 1]
    pair = checked(said((A, 2), (B, 1), strength=4), PAIR, protocol=Protocol.STRENGTH)
    assert ([item.rank for item in pair.items], pair.strength) == ([2, 1], 4)
    for protocol in Protocol.values:
        none = checked(said((A, None), (B, None), none_acceptable=True), PAIR, protocol=protocol)
        assert [item.rank for item in none.items] == [None, None]


@pytest.mark.parametrize(
    ("questions", "given", "code"),
    [
        (Questions(rating="required"), {}, "rating_missing"),
        (Questions(rationale="required"), {"rationale": "  "}, "rationale_missing"),
        (Questions(rewrite="required"), {}, "rewrite_missing"),
        (Questions(prompt_flags=("unclear",)), {"prompt_flags": ["asks_harm"]}, "flags_invalid"),
        (Questions(), {"prompt_flags": ["unclear"]}, "flags_invalid"),
    ],
)
def test_a_required_answer_left_open_is_named(questions: Questions, given: dict[str, Any], code: str) -> None:
    with pytest.raises(Refused) as refused:
        checked(said((A, 1), (B, 2), **given), PAIR, questions=questions)

    assert refused.value.code == code


def test_ratings_are_asked_only_of_answers_that_could_be_ranked() -> None:
    items = [
        SubmittedItem(completion_id=A, rank=1, rating=7, flags=["violent"], rewrite=" better "),
        SubmittedItem(completion_id=B, rank=None, rewrite="  "),
    ]
    asked = Questions(rating="required", answer_flags=("violent",), rewrite="required")
    found = checked(Submission(items=items), PAIR, questions=asked)

    assert [(item.rating, item.flags, item.rewrite) for item in found.items] == [
        (7, ("violent",), " better "),
        (None, (), ""),
    ]


@pytest.mark.parametrize(
    "stored", [{"rating": "maybe"}, {"answer_flags": ["x"]}, {"prompt_flags": "unclear"}, {"colour": "no"}]
)
def test_questions_that_do_not_exist_are_refused(stored: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        Questions.read(stored)

    assert refused.value.code == "questions_invalid"
