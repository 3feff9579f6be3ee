"""Rankings on their way: the next task is there before they are, and no dead line, reload or second tab loses one."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from annotation.models import Lease, Ranking
from annotation.services import add_member
from annotation.states import LeaseState
from tests.browser.cast import Cast, make_cast
from tests.browser.conftest import SignIn
from tests.browser.desk import (
    press,
    ranks_of,
    slot,
    start,
    the_ranking,
    wait_for_ahead,
    wait_for_next,
    wait_until,
)
from tests.processes import eventually

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

pytestmark = pytest.mark.django_db(transaction=True)
SLOW_SECONDS = 2.0
NO_DRAFTS = """{
  const line = window.fetch;
  const cut = (url) => url.endsWith("/draft/");
  window.fetch = (url, ...rest) => cut(url) ? Promise.reject(new TypeError("no line")) : line(url, ...rest);
}"""
"""In the page itself: what it sends while it goes, Playwright's routes do not always see."""


def has_rankings(num: int) -> bool:
    return Ranking.objects.count() == num


def waiting(page: Page) -> int:
    """Rankings in the outbox."""
    script = (
        "Object.keys(localStorage).filter(k => k.startsWith('outbox:')).map(k => JSON.parse(localStorage[k]).length)"
    )
    return sum(page.evaluate(script))


def test_the_next_task_is_shown_before_the_server_has_answered(
    page: Page, live_server: object, cast: Cast, sign_in: SignIn, complaints: list[str]
) -> None:
    lease = start(page, live_server, cast, sign_in)
    wait_for_ahead(page)

    def answer_late(route: Route) -> None:
        page.wait_for_timeout(SLOW_SECONDS * 1000)
        route.continue_()

    page.route("**/send/", answer_late)
    began = time.monotonic()
    press(page, "1", "2", "2", "u", "Enter")
    wait_for_next(page, lease)

    assert time.monotonic() - began < SLOW_SECONDS
    assert page.locator(".place input:checked").count() == 0
    assert page.evaluate("document.activeElement.id") == "answer-A"
    assert ranks_of(the_ranking(page)) == [1, 2, 2, None]
    assert complaints == []


def test_a_whole_campaign_is_worked_through_from_ahead(
    page: Page, live_server: object, cast: Cast, sign_in: SignIn, complaints: list[str]
) -> None:
    start(page, live_server, cast, sign_in)
    for number in range(1, 4):
        wait_for_ahead(page, num_leases=min(3, number + 1))
        press(page, "1", "2", "3", "4", "Enter")
        wait_until(page, partial(has_rankings, number))

    page.wait_for_url(f"{live_server}{reverse('annotation:work')}")
    assert "Nothing is left for you" in page.locator(".messages").inner_text()
    assert Lease.objects.filter(state="submitted").count() == 3
    assert complaints == []


@pytest.mark.parametrize("is_closed", [True, False], ids=["closed", "left"])
def test_a_page_that_goes_gives_back_the_task_that_nobody_saw(
    is_closed: bool, page: Page, live_server: object, cast: Cast, sign_in: SignIn
) -> None:
    shown = start(page, live_server, cast, sign_in)
    wait_for_ahead(page)

    if is_closed:
        page.close()
    else:
        page.goto(f"{live_server}{reverse('annotation:work')}")

    assert eventually(lambda: Lease.objects.exclude(pk=shown.pk).get().state == LeaseState.RELEASED)
    shown.refresh_from_db()
    assert shown.state == LeaseState.ACTIVE


def test_offline_a_ranking_waits_and_is_sent_once(page: Page, live_server: object, cast: Cast, sign_in: SignIn) -> None:
    lease = start(page, live_server, cast, sign_in)
    wait_for_ahead(page)
    sent: list[str] = []
    page.on("response", lambda answer: sent.append(answer.url) if answer.url.endswith("/send/") else None)
    page.context.set_offline(True)

    press(page, "1", "2", "3", "4", "Enter")
    wait_for_next(page, lease)  # the next task was there already
    page.wait_for_selector("#outbox-state.offline")
    assert "1 kept here" in page.locator("#outbox-state").inner_text()
    assert not Ranking.objects.exists()

    press(page, "4", "3", "2", "1", "Enter")  # and its ranking waits as well
    page.wait_for_selector("#work.waiting")
    assert waiting(page) == 2

    page.context.set_offline(False)
    page.wait_for_selector(".answer.current")
    assert [ranks_of(ranking) for ranking in Ranking.objects.order_by("pk")] == [[1, 2, 3, 4], [4, 3, 2, 1]]
    assert waiting(page) == 0
    assert page.locator("#outbox-state").is_hidden()
    assert len(sent) == 2


def test_an_answer_that_was_lost_on_the_way_is_asked_for_again_and_stored_once(
    page: Page, live_server: object, cast: Cast, sign_in: SignIn
) -> None:
    lease = start(page, live_server, cast, sign_in)
    wait_for_ahead(page)
    lost: list[str] = []

    def lose_the_first(route: Route) -> None:
        if lost:
            route.continue_()
            return
        lost.append(route.request.url)
        route.fetch()  # the server has it
        route.abort()  # the browser never hears

    page.route("**/send/", lose_the_first)
    press(page, "1", "2", "3", "4", "Enter")
    wait_for_next(page, lease)

    wait_until(page, lambda: waiting(page) == 0)
    assert Ranking.objects.count() == 1
    assert len(lost) == 1


def test_a_ranking_survives_a_closed_tab(page: Page, live_server: object, cast: Cast, sign_in: SignIn) -> None:
    lease = start(page, live_server, cast, sign_in)
    wait_for_ahead(page)
    page.route("**/send/", lambda route: route.abort())
    press(page, "1", "2", "3", "4", "Enter")
    wait_for_next(page, lease)
    page.wait_for_selector("#outbox-state.offline")
    page.close()

    # A new tab opens on the oldest task, which is the one whose ranking waits: it is sent before anything is shown.
    again = page.context.new_page()
    again.goto(f"{live_server}{reverse('annotation:lease', args=[lease.public_id])}")
    wait_for_next(again, lease)
    assert ranks_of(Ranking.objects.get()) == [1, 2, 3, 4]
    assert again.locator(".place input:checked").count() == 0


def test_the_list_of_work_sends_what_waits(page: Page, live_server: object, cast: Cast, sign_in: SignIn) -> None:
    lease = start(page, live_server, cast, sign_in)
    wait_for_ahead(page)
    page.route("**/send/", lambda route: route.abort())
    press(page, "1", "1", "1", "1", "Enter")
    wait_for_next(page, lease)
    page.wait_for_selector("#outbox-state.offline")
    page.unroute("**/send/")

    page.goto(f"{live_server}{reverse('annotation:work')}")

    assert ranks_of(the_ranking(page)) == [1, 1, 1, 1]
    wait_until(page, lambda: waiting(page) == 0)


def test_who_was_signed_out_meanwhile_loses_nothing(
    page: Page, live_server: object, cast: Cast, sign_in: SignIn
) -> None:
    start(page, live_server, cast, sign_in)
    wait_for_ahead(page)
    page.context.clear_cookies()

    press(page, "1", "2", "2", "3", "Enter")
    page.wait_for_selector("#outbox-state.signedOut")
    assert "You are signed out" in page.locator("#outbox-state").inner_text()
    assert not Ranking.objects.exists()

    sign_in(page.context, cast.labeler)
    page.goto(f"{live_server}{reverse('annotation:work')}")
    assert ranks_of(the_ranking(page)) == [1, 2, 2, 3]


def test_a_draft_that_never_reached_the_server_comes_back(
    page: Page, live_server: object, cast: Cast, sign_in: SignIn
) -> None:
    page.add_init_script(NO_DRAFTS)
    lease = start(page, live_server, cast, sign_in)
    wait_for_ahead(page)
    press(page, "2")

    page.reload()
    page.wait_for_selector(".answer.current")

    lease.refresh_from_db()
    assert lease.draft is None
    assert page.locator("#answer-A .place input:checked").input_value() == "2"
    assert slot(page, "2").locator(".chip").inner_text().strip() == "A"


def test_a_refused_ranking_is_told_and_kept(page: Page, live_server: object, cast: Cast, sign_in: SignIn) -> None:
    lease = start(page, live_server, cast, sign_in)
    wait_for_ahead(page)
    Lease.objects.filter(pk=lease.pk).update(state="expired")
    type(lease.task).objects.filter(pk=lease.task_id).update(free_slots=0)

    press(page, "1", "2", "3", "4", "Enter")
    wait_for_next(page, lease)

    notice = page.locator(".outbox-refused")
    notice.wait_for()
    assert "lease_expired_no_slot" in notice.inner_text()
    assert "A 1 · B 2 · C 3 · D 4" in notice.inner_text()
    assert not Ranking.objects.exists()
    lease.refresh_from_db()
    assert lease.draft is not None

    notice.get_by_role("link", name="Open the task").click()
    page.wait_for_url(lambda url: str(lease.public_id) in url)
    assert page.locator(".place input:checked").count() == 4
    page.get_by_role("button", name="Let it go").click()
    assert page.locator(".outbox-refused").count() == 0
    assert waiting(page) == 0


def test_the_tab_that_showed_a_task_last_has_it(page: Page, live_server: object, cast: Cast, sign_in: SignIn) -> None:
    lease = start(page, live_server, cast, sign_in)
    wait_for_ahead(page)
    second = page.context.new_page()
    second.goto(page.url)
    second.wait_for_selector(".answer.current")

    page.wait_for_selector("#elsewhere-notice")
    press(page, "1", "2", "3", "4", "Enter")
    page.wait_for_timeout(200)
    assert not Ranking.objects.exists()

    page.get_by_role("button", name="Take it back here").click()
    second.wait_for_selector("#elsewhere-notice")
    page.wait_for_selector(".answer.current")
    press(page, "1", "2", "3", "4", "Enter")
    wait_for_next(page, lease)
    assert ranks_of(the_ranking(page)) == [1, 2, 3, 4]


def test_two_labelers_at_once_never_get_the_same_slot(
    chromium: Browser, page: Page, live_server: object, transactional_db: None, sign_in: SignIn
) -> None:
    cast = make_cast(overlap=1)
    add_member(campaign=cast.campaign, by=cast.manager, user=cast.researcher)
    other = chromium.new_context().new_page()
    sign_in(other.context, cast.researcher)
    start(page, live_server, cast, sign_in)
    other.goto(f"{live_server}{reverse('annotation:work')}")
    other.get_by_role("button", name="Start").click()
    other.wait_for_selector(".answer.current")

    for _turn in range(3):
        for tab in (page, other):
            if tab.locator(".answer.current").count():
                press(tab, "1", "2", "3", "4", "Enter")
                tab.wait_for_timeout(400)

    wait_until(page, partial(has_rankings, 3))
    assert len(set(Ranking.objects.values_list("task", flat=True))) == 3
    assert set(Ranking.objects.values_list("labeler__name", flat=True)) == {"Lena", "Rune"}
    other.context.close()
