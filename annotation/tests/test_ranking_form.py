"""What the ranking page sends, as a submission and as a draft, under each protocol."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.http import QueryDict

from annotation.models import PlacedAnswer, Protocol
from annotation.protocols import Questions
from annotation.ranking_form import RankingForm, initial_from

ANSWERS = [PlacedAnswer(n, uuid4(), f"Answer {n}") for n in range(2)]
FIRST, SECOND = (str(answer.public_id) for answer in ANSWERS)
ASKED = Questions(
    rating="optional",
    answer_flags=("violent", "sexual"),
    prompt_flags=("unclear",),
    rewrite="optional",
    rationale="required",
)


def sent(protocol: str, fields: dict[str, Any]) -> RankingForm:
    """A page sent with these fields; _0 and _1 stand for the answers."""
    data = QueryDict(mutable=True)
    for name, value in fields.items():
        key = name.replace("_0", f"-{FIRST}").replace("_1", f"-{SECOND}")
        data.setlist(key, value if isinstance(value, list) else [value])
    form = RankingForm(data, completions=ANSWERS, protocol=protocol, questions=ASKED)
    assert form.is_valid(), form.errors
    return form


@pytest.mark.parametrize(
    ("protocol", "fields", "ranks", "strength"),
    [
        (Protocol.RANKING, {"rank_0": "1", "rank_1": "1"}, [1, 1], None),
        (Protocol.STRICT, {"rank_0": "2", "rank_1": "unrankable"}, [2, None], None),
        (Protocol.BEST, {"best": SECOND}, [2, 1], None),
        (Protocol.STRENGTH, {"preference": "0-4"}, [1, 2], 4),
        (Protocol.SCALE, {"preference": "1-1"}, [2, 1], 1),
        (Protocol.SCALE, {"none_acceptable": "on"}, [None, None], None),
        (Protocol.BEST, {"none_acceptable": "on"}, [None, None], None),
    ],
)
def test_a_page_says_an_order(
    protocol: str, fields: dict[str, str], ranks: list[int | None], strength: int | None
) -> None:
    said = sent(protocol, fields).submission()

    assert [item.rank for item in said.items] == ranks
    assert said.strength == strength


@pytest.mark.parametrize("protocol", Protocol.values)
def test_an_untouched_page_says_nothing(protocol: str) -> None:
    said = sent(protocol, {}).submission()

    assert not said.items
    assert said.strength is None


def test_what_is_asked_beside_the_order_comes_along() -> None:
    said = sent(
        Protocol.RANKING,
        {
            "rank_0": "1",
            "rank_1": "2",
            "rating_0": "7",
            "flags_0": ["violent", "sexual"],
            "rewrite_1": " Better. ",
            "seen_1": "2.5",
            "prompt_flags": ["unclear"],
            "rationale": "Because.",
            "active_seconds": "9",
        },
    ).submission()

    first, second = said.items
    assert (first.rating, list(first.flags), first.rewrite) == (7, ["violent", "sexual"], "")
    assert (second.rating, list(second.flags), second.rewrite, second.seen_seconds) == (None, [], " Better. ", 2.5)
    assert (list(said.prompt_flags), said.rationale, said.active_seconds) == (["unclear"], "Because.", 9.0)


def test_what_is_not_asked_has_no_field() -> None:
    form = RankingForm(completions=ANSWERS, protocol=Protocol.BEST, questions=Questions(rationale="no"))

    answer = form.answers()[0]
    assert (answer.rank, answer.reason, answer.rating, answer.flags, answer.rewrite) == (None,) * 5
    assert set(form.fields) == {"best", "none_acceptable", "active_seconds", f"seen-{FIRST}", f"seen-{SECOND}"}


@pytest.mark.parametrize(
    ("protocol", "fields"),
    [
        (Protocol.RANKING, {"rank_0": "unrankable", "reason_0": "gibberish"}),
        (Protocol.BEST, {"best": FIRST}),
        (Protocol.STRENGTH, {"preference": "1-3"}),
        (Protocol.SCALE, {}),
    ],
)
def test_a_draft_comes_back_as_it_was(protocol: str, fields: dict[str, str]) -> None:
    rest = {
        "rating_1": "4",
        "flags_1": ["sexual"],
        "rewrite_0": "Mine.",
        "prompt_flags": ["unclear"],
        "rationale": "So.",
    }
    form = sent(protocol, {**fields, **rest})
    initial = initial_from(form.draft(), protocol=protocol, shown=[FIRST, SECOND])

    again = RankingForm(completions=ANSWERS, protocol=protocol, questions=ASKED, initial=initial)
    assert isinstance(form.data, QueryDict)
    for name, value in form.data.lists():
        stands = again[name].value()
        assert [str(each) for each in (stands if isinstance(stands, list) else [stands])] == value, name
    for name in {"best", "preference", f"rank-{SECOND}"} & form.fields.keys() - form.data.keys():
        assert not again[name].value(), name


@pytest.mark.parametrize("draft", [None, {}, {"items": "x"}, {"items": ["x", {"rank": 1}]}])
def test_a_draft_of_another_shape_is_ignored(draft: Any) -> None:
    initial = initial_from(draft, protocol=Protocol.RANKING, shown=[FIRST, SECOND])

    assert not any(value for value in initial.values())
