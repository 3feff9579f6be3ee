"""The labelling page in other languages: German, and a language from right to left, which mirrors it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.urls import reverse

from annotation.models import Ranking
from tests.browser.cast import Cast, make_cast
from tests.browser.conftest import SignIn
from tests.browser.desk import overflow, press, ranks_of

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page
    from pytest_django import Settings

pytestmark = pytest.mark.django_db(transaction=True)
WIDE_TABLE = "|" + " wide column |" * 12 + "\n|" + "---|" * 12 + "\n|" + " 12 |" * 12
ANSWERS = [
    "שלום **עולם** ו-`git push`: $x^2$",
    "```python\nprint('a line of code that is far too long for any phone to show without a bar to scroll')\n```",
    WIDE_TABLE,
    "x" * 400 + " $$\\sum_{i=1}^{n} a_1 + a_2 + a_3 + a_4 + a_5 + a_6 + a_7 + a_8 + a_9 + a_{10} + a_{11} + a_{12}$$",
]


def open_task(page: Page, live_server: object, cast: Cast, sign_in: SignIn, language: str) -> None:
    sign_in(page.context, cast.labeler)
    cookie = {"name": settings.LANGUAGE_COOKIE_NAME, "value": language, "url": str(live_server)}
    page.context.add_cookies([cookie])  # type: ignore[list-item]
    page.goto(f"{live_server}{reverse('annotation:work')}")
    page.locator(f'form[action="{reverse("annotation:work-next", args=[cast.campaign.public_id])}"] button').click()
    page.wait_for_selector(".answer.current")


def left_of(found: Locator) -> float:
    box = found.bounding_box()
    assert box is not None
    return box["x"]


def test_a_language_from_right_to_left_mirrors_the_labelling_page(
    page: Page, live_server: object, transactional_db: None, sign_in: SignIn, settings: Settings
) -> None:
    settings.LANGUAGES = [*settings.LANGUAGES, ("he", "עברית")]
    cast = make_cast(questions={"מה זה? $5 or $6": ANSWERS})
    open_task(page, live_server, cast, sign_in, "he")

    assert page.evaluate("document.documentElement.dir") == "rtl"
    # The prompt stands where a reader begins, the board where they end; answers follow in the same direction.
    assert left_of(page.locator(".brief")) > left_of(page.locator("#answer-A")) > left_of(page.locator(".verdict"))
    assert left_of(page.locator(".wordmark")) > left_of(page.locator(".site-tools"))
    for width in (1440, 360):
        page.set_viewport_size({"width": width, "height": 800})
        assert overflow(page) == 0, width
    assert page.evaluate("getComputedStyle(document.querySelector('.answer pre')).direction") == "ltr"
    assert page.evaluate("getComputedStyle(document.querySelector('.answer math')).direction") == "ltr"
    press(page, "1", "2", "3", "4", "Enter")
    page.wait_for_url(f"{live_server}{reverse('annotation:work')}")
    assert ranks_of(Ranking.objects.get()) == [1, 2, 3, 4]


def test_wide_answers_scroll_inside_and_take_the_focus(
    page: Page, live_server: object, transactional_db: None, sign_in: SignIn, complaints: list[str]
) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    cast = make_cast(questions={"How?": ANSWERS})
    open_task(page, live_server, cast, sign_in, "en")

    assert overflow(page) == 0
    for part in (".answer pre", ".answer .scroll", ".answer .formula"):
        inner = page.locator(part)
        assert inner.evaluate("(box) => box.scrollWidth > box.clientWidth"), part
        inner.focus()
        assert inner.evaluate("(box) => box === document.activeElement"), part
    assert page.locator(".answer pre .nb").count() == 1
    assert page.locator("math").count() == 2
    assert complaints == []


def test_the_switch_turns_the_page_german_and_back(
    page: Page, live_server: object, cast: Cast, sign_in: SignIn
) -> None:
    page.goto(f"{live_server}{reverse('accounts:sign-in')}")
    page.get_by_role("button", name="Deutsch").click()
    assert page.get_by_role("heading", name="Anmelden").is_visible()

    sign_in(page.context, cast.labeler)
    page.goto(f"{live_server}{reverse('annotation:work')}")
    assert page.get_by_role("button", name="Beginnen").is_visible()
    page.locator("details.menu summary").click()
    page.get_by_role("button", name="English").click()
    assert page.get_by_role("button", name="Start").is_visible()
    cast.labeler.refresh_from_db()
    assert cast.labeler.language == "en"
