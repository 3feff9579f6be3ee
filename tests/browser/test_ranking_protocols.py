"""Every protocol by keyboard alone, and what each of them does not take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from annotation.models import Ranking
from annotation.protocols import Questions
from tests.browser.cast import Cast, make_cast
from tests.browser.conftest import SignIn
from tests.browser.desk import (
    TWO_ANSWERS,
    ask,
    ask_as,
    chip,
    drag,
    press,
    ranks_of,
    slot,
    start,
    tally,
    the_ranking,
    wait_for_next,
)

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def couples(transactional_db: None) -> Cast:
    return make_cast(questions=TWO_ANSWERS)


def test_strict_ranking_refuses_a_tie_and_changes_places(
    page: Page, live_server: object, cast: Cast, sign_in: SignIn
) -> None:
    ask(cast, "strict")
    lease = start(page, live_server, cast, sign_in)

    press(page, "1", "1")  # A first; B cannot be first too
    assert tally(page) == "Place 1 is taken by A; there are no ties here"
    assert slot(page, "1").locator(".chip").count() == 1
    assert page.evaluate("document.activeElement.id") == "answer-B"

    press(page, "2", "3", "4")
    press(page, "Shift+D", "1")  # D and A change places
    assert slot(page, "1").inner_text().strip() == "D"
    assert slot(page, "4").inner_text().strip() == "A"

    press(page, "Enter")
    wait_for_next(page, lease)
    assert ranks_of(the_ranking(page)) == [4, 2, 3, 1]


def test_strict_ranking_takes_no_tie_by_mouse(page: Page, live_server: object, cast: Cast, sign_in: SignIn) -> None:
    ask(cast, "strict")
    start(page, live_server, cast, sign_in)
    drag(page, chip(page, "B"), slot(page, "1"))

    drag(page, chip(page, "C"), slot(page, "1"))
    assert slot(page, "1").inner_text().strip() == "B"
    assert slot(page, "").locator('[data-letter="C"]').count() == 1

    page.locator("#answer-C .place", has_text="1").click()
    assert page.locator("#answer-C .place input:checked").count() == 0
    assert "taken by B" in tally(page)


def test_llama_2_degrees_by_one_key(
    page: Page, live_server: object, couples: Cast, sign_in: SignIn, complaints: list[str]
) -> None:
    ask_as(couples, "llama2")
    lease = start(page, live_server, couples, sign_in)

    press(page, "Enter")
    assert tally(page) == "Say which answer is better"
    press(page, "7")  # B is better
    assert tally(page) == "B: Better"
    press(page, "Shift+B", "f", "1", "Escape", "Enter")

    wait_for_next(page, lease)
    ranking = the_ranking(page)
    assert (ranks_of(ranking), ranking.strength) == ([2, 1], 3)
    flags = list(ranking.items.order_by("position_shown").values_list("flags", flat=True))
    assert flags == [[], ["sexual"]]
    assert complaints == []


def test_hh_scale_by_one_key(page: Page, live_server: object, couples: Cast, sign_in: SignIn) -> None:
    ask_as(couples, "hh")
    lease = start(page, live_server, couples, sign_in)

    press(page, "8", "1", "Enter")  # the last one counts

    wait_for_next(page, lease)
    ranking = the_ranking(page)
    assert (ranks_of(ranking), ranking.strength) == ([1, 2], 4)


def test_where_none_is_acceptable_nobody_has_to_choose(
    page: Page, live_server: object, couples: Cast, sign_in: SignIn
) -> None:
    ask_as(couples, "hh")
    lease = start(page, live_server, couples, sign_in)

    press(page, "n", "Enter")

    wait_for_next(page, lease)
    ranking = the_ranking(page)
    assert (ranks_of(ranking), ranking.none_acceptable) == ([None, None], True)


def test_best_of_all_by_digit_and_by_mark(page: Page, live_server: object, cast: Cast, sign_in: SignIn) -> None:
    ask(cast, "best")
    lease = start(page, live_server, cast, sign_in)

    press(page, "Enter")
    assert tally(page) == "Pick the best answer"
    press(page, "2")
    assert tally(page) == "B is the best"
    press(page, "j", "j", "b", "Enter")  # from A to C

    wait_for_next(page, lease)
    assert ranks_of(the_ranking(page)) == [2, 2, 1, 2]


def test_instruct_gpt_rates_flags_and_ranks_by_keyboard(
    page: Page, live_server: object, cast: Cast, sign_in: SignIn, complaints: list[str]
) -> None:
    ask_as(cast, "instructgpt")
    lease = start(page, live_server, cast, sign_in)
    assert tally(page) == "Still without a rating: A, B, C, D"

    press(page, "7", "3", "5", "1")  # ratings; then the digits rank
    press(page, "1", "3", "2", "4")
    press(page, "Shift+B", "f", "3", "Enter", "p", "1", "Escape", "Enter")

    wait_for_next(page, lease)
    ranking = the_ranking(page)
    said = list(ranking.items.order_by("position_shown").values_list("rank", "rating", "flags"))
    assert said == [(1, 7, []), (3, 3, ["hallucination"]), (2, 5, []), (4, 1, [])]
    assert ranking.prompt_flags == ["unclear"]
    assert complaints == []


def test_a_missing_rating_is_asked_for(page: Page, live_server: object, cast: Cast, sign_in: SignIn) -> None:
    ask_as(cast, "instructgpt")
    start(page, live_server, cast, sign_in)
    press(page, "r", "1", "2", "3", "4")  # ranked first

    press(page, "Enter")

    assert tally(page) == "Still without a rating: A, B, C, D"
    press(page, "5")  # the digits rate again
    assert page.locator("#answer-A .rate input:checked").input_value() == "5"
    assert not Ranking.objects.exists()


def test_a_better_answer_and_a_reason_are_kept(page: Page, live_server: object, cast: Cast, sign_in: SignIn) -> None:
    ask(cast, "ranking", Questions(rewrite="required", rationale="required"))
    lease = start(page, live_server, cast, sign_in)
    press(page, "1", "2", "3", "4", "Enter")
    assert page.evaluate("document.activeElement.name") == "rationale"
    page.keyboard.type("A is true")
    press(page, "Control+Enter")
    assert tally(page) == "Write one answer better"

    # It starts from the answer's own words; another one that was opened and left alone says nothing.
    page.keyboard.press("End")
    page.keyboard.type(" Really.")
    press(page, "Escape", "Shift+B", "e", "Control+Enter")

    wait_for_next(page, lease)
    ranking = the_ranking(page)
    assert ranking.rationale == "A is true"
    ((text, original),) = ranking.items.exclude(rewrite=None).values_list("rewrite__text", "completion__text")
    assert text != original
    assert "Really." in text
