"""The ranking page in a real browser: by keyboard, by drag, by finger, without JavaScript."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from annotation.models import Ranking
from tests.browser.cast import PASSWORD, Cast, make_cast
from tests.browser.conftest import SignIn
from tests.browser.desk import chip, drag, ranks_of, slot, start, tally, the_ranking, wait_for_next

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.django_db(transaction=True)


def test_sign_in_rank_by_keyboard_submit_and_next(
    page: Page, live_server: object, cast: Cast, complaints: list[str]
) -> None:
    page.goto(f"{live_server}{reverse('annotation:work')}")
    page.get_by_label("Username").fill("lena")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Start").click()
    page.wait_for_selector(".answer.current")
    first_url = page.url

    # A 1st; B and C tie; D cannot be ranked. The mark moves on by itself.
    for key in ("1", "2", "2", "u"):
        page.keyboard.press(key)
    page.keyboard.press("n")
    page.keyboard.press("Enter")

    page.wait_for_url(lambda url: url != first_url)
    page.wait_for_selector(".answer.current")
    ranking = the_ranking(page)
    assert ranks_of(ranking) == [1, 2, 2, None]
    assert ranking.none_acceptable
    assert ranking.active_seconds is not None
    assert 0 < ranking.active_seconds < 60
    assert page.locator(".place input:checked").count() == 0
    assert page.evaluate("document.activeElement.id") == "answer-A"
    assert complaints == []


def test_keys_correct_a_placement_and_take_it_away(
    page: Page, live_server: object, cast: Cast, sign_in: SignIn
) -> None:
    start(page, live_server, cast, sign_in)

    page.keyboard.press("1")  # A, moves on to B
    page.keyboard.press("k")  # back to A
    page.keyboard.press("3")  # a correction stays on A
    assert page.locator("#answer-A .place input:checked").input_value() == "3"
    assert page.evaluate("document.activeElement.id") == "answer-A"

    page.keyboard.press("Backspace")
    assert page.locator(".place input:checked").count() == 0
    assert slot(page, "").locator(".chip").count() == 4


def test_an_untouched_order_is_not_accepted(page: Page, live_server: object, cast: Cast, sign_in: SignIn) -> None:
    start(page, live_server, cast, sign_in)
    page.keyboard.press("1")

    page.keyboard.press("Enter")

    assert tally(page) == "Still without a place: B, C, D"
    assert page.evaluate("document.activeElement.id") == "answer-B"
    assert not Ranking.objects.exists()


def test_typing_a_reason_presses_no_keys(page: Page, live_server: object, cast: Cast, sign_in: SignIn) -> None:
    lease = start(page, live_server, cast, sign_in)
    page.locator(".rationale > summary").click()

    page.locator(".rationale textarea").press_sequentially("1 sun 2")

    assert page.locator(".place input:checked").count() == 0
    assert not page.locator("dialog[open]").count()
    for letter in "ABCD":
        page.locator(f"#answer-{letter} .place").first.click()
    page.locator(".rationale textarea").press("Control+Enter")
    wait_for_next(page, lease)
    assert the_ranking(page).rationale == "1 sun 2"


def test_dropping_on_the_same_row_is_a_tie(
    page: Page, live_server: object, cast: Cast, sign_in: SignIn, complaints: list[str]
) -> None:
    lease = start(page, live_server, cast, sign_in)

    drag(page, chip(page, "B"), slot(page, "1"))
    drag(page, chip(page, "D"), slot(page, "1"))
    drag(page, chip(page, "A"), slot(page, "2"))
    drag(page, chip(page, "C"), slot(page, "unrankable"))
    page.get_by_role("button", name="Submit").click()

    wait_for_next(page, lease)
    assert ranks_of(the_ranking(page)) == [2, 1, None, 1]
    assert complaints == []


def test_a_draft_survives_a_reload(page: Page, live_server: object, cast: Cast, sign_in: SignIn) -> None:
    start(page, live_server, cast, sign_in)
    with page.expect_response(lambda response: response.url.endswith("/draft/")):
        page.keyboard.press("2")

    page.reload()
    page.wait_for_selector(".answer.current")

    assert page.locator("#answer-A .place input:checked").input_value() == "2"
    assert slot(page, "2").locator(".chip").inner_text().strip() == "A"


def test_skip_asks_why_and_brings_the_next(page: Page, live_server: object, cast: Cast, sign_in: SignIn) -> None:
    lease = start(page, live_server, cast, sign_in)
    first_url = page.url

    page.keyboard.press("s")
    page.get_by_label("I do not know enough about this").check()
    page.get_by_role("button", name="Skip it").click()

    page.wait_for_url(lambda url: url != first_url)
    lease.refresh_from_db()
    assert (lease.state, lease.skip_reason) == ("skipped", "no_expertise")


def test_the_last_task_leads_back_to_the_list(
    page: Page, live_server: object, transactional_db: None, sign_in: SignIn
) -> None:
    cast = make_cast(questions={"Only one?": ["Yes.", "No."]})
    start(page, live_server, cast, sign_in)

    page.keyboard.press("1")
    page.keyboard.press("2")
    page.keyboard.press("Enter")

    page.wait_for_url(f"{live_server}{reverse('annotation:work')}")
    assert "Nothing is left for you" in page.locator(".messages").inner_text()


def test_the_question_mark_shows_the_keys(page: Page, live_server: object, cast: Cast, sign_in: SignIn) -> None:
    start(page, live_server, cast, sign_in)

    page.keyboard.press("?")
    assert "the same place twice is a tie" in page.locator("#keys[open]").inner_text()

    page.keyboard.press("1")  # the list is open: nothing is placed behind it
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    assert page.locator(".place input:checked").count() == 0


def test_hostile_answers_do_nothing(
    page: Page, live_server: object, transactional_db: None, sign_in: SignIn, complaints: list[str]
) -> None:
    hostile = [
        "<script>document.title='pwned'</script>",
        "<img src=x onerror=\"document.title='pwned'\">",
        "[x](javascript:document.title='pwned')",
        "\u202eסוף <form action=/sign-out/ method=post><button>",
    ]
    cast = make_cast(questions={"<script>document.title='pwned'</script>": hostile})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    start(page, live_server, cast, sign_in)

    assert page.title() == "Everyday questions · Plumbline"
    assert page.locator(".answer-text :is(script, img, a, form, button), .prompt-text script").count() == 0
    assert [url for url in asked if not url.startswith(str(live_server))] == []
    assert complaints == []


def test_a_finger_ranks_and_scrolling_moves_nothing(
    chromium: Browser, live_server: object, cast: Cast, sign_in: SignIn
) -> None:
    context = chromium.new_context(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    page = context.new_page()
    lease = start(page, live_server, cast, sign_in)
    client = context.new_cdp_session(page)

    chip(page, "A").scroll_into_view_if_needed()
    box = chip(page, "A").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] - 8, box["y"] + box["height"] / 2
    client.send("Input.synthesizeScrollGesture", {"x": x, "y": y, "yDistance": -200, "gestureSourceType": "touch"})
    assert slot(page, "").locator(".chip").count() == 4

    for letter, place in zip("ABCD", "2113", strict=True):
        page.locator(f"#answer-{letter} .place", has_text=place).first.tap()
    page.get_by_role("button", name="Submit").tap()
    wait_for_next(page, lease)

    assert ranks_of(the_ranking(page)) == [2, 1, 1, 3]
    context.close()


def test_it_works_without_javascript(chromium: Browser, live_server: object, cast: Cast, sign_in: SignIn) -> None:
    context = chromium.new_context(java_script_enabled=False, viewport={"width": 1440, "height": 900})
    page = context.new_page()
    lease = start(page, live_server, cast, sign_in)

    for letter, place in zip("ABCD", "1244", strict=True):
        page.locator(f"#answer-{letter} .place", has_text=place).first.click()
    page.get_by_role("button", name="Submit").click()

    wait_for_next(page, lease)
    assert ranks_of(the_ranking(page)) == [1, 2, 3, 3]
    assert page.locator(".answer").count() == 4
    context.close()
