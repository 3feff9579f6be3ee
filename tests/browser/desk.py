"""What the tests of the ranking page do again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from django.urls import reverse

from annotation.models import Campaign, Lease, Ranking
from annotation.protocols import PRESETS, Questions
from tests.browser.cast import Cast
from tests.browser.conftest import SignIn

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

PATIENCE_SECONDS = 10
ANSWERS_AHEAD = """() => {
  const url = document.querySelector("[data-ahead]").dataset.ahead;
  return performance.getEntriesByType("resource").filter((entry) => entry.name.endsWith(url)).length;
}"""
TWO_ANSWERS = {
    "Why is the sky blue?": ["Air scatters blue light more than red.", "Because it mirrors the sea."],
    "Name a prime.": ["Seven.", "Nine."],
    "How far is the moon?": ["About 384,400 km.", "Very far."],
}


def start(page: Page, live_server: object, cast: Cast, sign_in: SignIn) -> Lease:
    """Lena opens her first task."""
    sign_in(page.context, cast.labeler)
    page.goto(f"{live_server}{reverse('annotation:work')}")
    page.get_by_role("button", name="Start").click()
    page.wait_for_selector(".answer.current, html:not(.js) .answer")
    return Lease.objects.earliest("pk")


def ask_as(cast: Cast, preset: str) -> None:
    """The campaign asks as the preset does."""
    found = PRESETS[preset]
    ask(cast, found.protocol, found.questions)


def ask(cast: Cast, protocol: str, questions: Questions | None = None) -> None:
    asked = (questions or Questions()).as_json()
    Campaign.objects.filter(pk=cast.campaign.pk).update(protocol=protocol, questions=asked)


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def wait_for_next(page: Page, lease: Lease) -> None:
    """Until another task is on the screen. The page's CSP forbids the eval behind `wait_for_function`."""
    page.wait_for_url(lambda url: str(lease.public_id) not in url)
    page.wait_for_selector(".answer.current, html:not(.js) .answer")


def wait_until(page: Page, is_so: Callable[[], bool]) -> None:
    """What happens behind the page's back, as a ranking that is sent while the next task is on the screen."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        page.wait_for_timeout(30)


def the_ranking(page: Page) -> Ranking:
    """The only one, once the server has it."""
    wait_until(page, Ranking.objects.exists)
    return Ranking.objects.get()


def wait_for_ahead(page: Page, num_leases: int = 2) -> None:
    """Until the next task is in the browser, where nobody sees it: its lease is there, and its answer has come."""
    wait_until(page, lambda: Lease.objects.count() >= num_leases and page.evaluate(ANSWERS_AHEAD) >= num_leases - 1)
    page.wait_for_timeout(50)  # the script has its answer a moment after the browser


def ranks_of(ranking: Ranking) -> list[int | None]:
    """In the order shown."""
    return list(ranking.items.order_by("position_shown").values_list("rank", flat=True))


def overflow(page: Page) -> int:
    """Pixels by which the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def tally(page: Page) -> str:
    return page.locator("#tally").inner_text()


def chip(page: Page, letter: str) -> Locator:
    return page.locator(f'.chip[data-letter="{letter}"]')


def slot(page: Page, rank: str) -> Locator:
    return page.locator(f'.slot[data-rank="{rank}"]')


def drag(page: Page, source: Locator, target: Locator) -> None:
    source.scroll_into_view_if_needed()
    start, end = source.bounding_box(), target.bounding_box()
    assert start is not None
    assert end is not None
    page.mouse.move(start["x"] + 12, start["y"] + start["height"] / 2)
    page.mouse.down()
    page.mouse.move(start["x"] + 20, start["y"] + start["height"] / 2 + 4, steps=3)
    page.mouse.move(end["x"] + end["width"] - 20, end["y"] + end["height"] / 2, steps=12)
    page.wait_for_timeout(200)  # SortableJS looks every 50 ms what lies under the pointer
    page.mouse.up()
