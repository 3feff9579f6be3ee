"""What stands around the ranking: comparing, folding, the look, guidelines, undo, reports."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from annotation import services
from annotation.models import Lease, Ranking, Report
from tests.browser.cast import Cast, make_cast
from tests.browser.conftest import SignIn
from tests.browser.desk import press, ranks_of, start, tally, the_ranking, wait_for_ahead, wait_for_next, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.django_db(transaction=True)
LONG = "A long answer goes on.\n\n" * 80


def test_two_answers_are_compared_word_by_word(
    page: Page, live_server: object, transactional_db: None, sign_in: SignIn, complaints: list[str]
) -> None:
    cast = make_cast(questions={"Why?": ["The wall is red <b>now</b>.", "The wall is straight.", "No."]})
    start(page, live_server, cast, sign_in)
    texts = page.locator(".answer-text").all_inner_texts()
    red, straight = ("ABC"[texts.index(text)] for text in ("The wall is red <b>now</b>.", "The wall is straight."))

    press(page, "c", red.lower(), straight.lower())

    changed = page.locator("#compare #compared")
    changed.locator("ins", has_text="straight").wait_for()
    assert changed.locator(".word-diff del").inner_text() == "red <b>now</b>"
    press(page, "Escape", "1")
    assert page.locator("#answer-A .place input:checked").input_value() == "1"
    assert complaints == []


def test_a_long_answer_is_folded_until_it_is_opened(
    page: Page, live_server: object, transactional_db: None, sign_in: SignIn
) -> None:
    cast = make_cast(questions={"Why?": [LONG, "Short."], "How?": ["So.", "Thus."]})
    lease = start(page, live_server, cast, sign_in)
    letter = "A" if "long" in page.locator("#answer-A .answer-text").inner_text() else "B"
    answer = page.locator(f"#answer-{letter}")
    assert answer.get_by_text("not opened yet").is_visible()
    assert "400 words" in answer.locator(".unfold").inner_text()

    press(page, "1", "2", "Enter")
    assert tally(page) == f"Not opened yet: {letter}. Enter again submits all the same"
    press(page, "o")
    assert answer.get_by_text("not opened yet").is_hidden()
    page.wait_for_timeout(1200)
    press(page, "Enter")

    wait_for_next(page, lease)
    assert max(item.seen_seconds or 0 for item in the_ranking(page).items.all()) >= 1


def test_the_look_is_remembered(page: Page, live_server: object, cast: Cast, sign_in: SignIn) -> None:
    start(page, live_server, cast, sign_in)
    size = "getComputedStyle(document.querySelector('.answer-text')).fontSize"
    usual = float(page.evaluate(size).removesuffix("px"))

    press(page, "l", "+", "+")
    page.reload()
    page.wait_for_selector(".answer.current")

    assert page.locator("#layout").get_attribute("aria-pressed") == "true"
    tops = [box["x"] for answer in page.locator(".answer").all() if (box := answer.bounding_box())]
    assert len(set(tops)) == 1
    assert float(page.evaluate(size).removesuffix("px")) > 1.2 * usual


def test_what_changed_in_the_guidelines_is_shown_once(
    page: Page, live_server: object, cast: Cast, sign_in: SignIn
) -> None:
    lease = start(page, live_server, cast, sign_in)
    wait_for_ahead(page)
    press(page, "1", "2", "3", "4", "Enter")
    wait_for_next(page, lease)
    the_ranking(page)
    wait_for_ahead(page, num_leases=3)
    first = cast.campaign.guidelines.get().text
    services.add_guideline_version(campaign=cast.campaign, by=cast.manager, text=first + "\nBe kind.\n")
    for held in Lease.objects.active():
        services.release_lease(lease=held)

    page.goto(f"{live_server}{reverse('annotation:work')}")
    page.get_by_role("button", name="Start").click()
    page.wait_for_selector(".answer.current")

    changes = page.locator("#guidelines[open] .changes")
    assert "since version 1" in changes.inner_text()
    assert changes.locator("ins").inner_text().strip() == "Be kind."


def test_a_ranking_is_changed_by_keyboard_and_the_work_goes_on_where_it_was(
    page: Page, live_server: object, cast: Cast, sign_in: SignIn, complaints: list[str]
) -> None:
    lease = start(page, live_server, cast, sign_in)
    wait_for_ahead(page)
    press(page, "1", "2", "3", "4", "Enter")
    wait_for_next(page, lease)
    the_ranking(page)
    left = page.url
    with page.expect_response(lambda answer: answer.url.endswith("/draft/")):
        press(page, "3")

    press(page, "z")
    page.locator("#recent").get_by_text("A › B › C › D").wait_for()
    page.locator("#recent").get_by_role("button", name="Change").focus()
    press(page, "Enter")
    page.wait_for_selector("#work[data-revises] .answer.current")
    assert page.locator(".place input:checked").count() == 4
    press(page, "Shift+A", "2", "Enter")

    page.wait_for_url(left)
    page.wait_for_selector("#work:not([data-revises]) .answer.current")
    current = Ranking.objects.current().get()
    assert ranks_of(current) == [1, 1, 2, 3]
    assert Ranking.objects.count() == 2
    assert page.locator("#answer-A .place input:checked").input_value() == "3"
    assert complaints == []


def test_a_ranking_is_taken_back(page: Page, live_server: object, cast: Cast, sign_in: SignIn) -> None:
    lease = start(page, live_server, cast, sign_in)
    wait_for_ahead(page)
    press(page, "1", "2", "3", "4", "Enter")
    wait_for_next(page, lease)
    ranking = the_ranking(page)

    press(page, "z")
    page.get_by_role("button", name="Take back").click()

    page.get_by_text("Nothing that can still be changed.").wait_for()
    ranking.refresh_from_db()
    assert ranking.withdrawn_at is not None


def test_a_report_goes_to_the_manager_and_the_task_stays(
    page: Page, live_server: object, cast: Cast, sign_in: SignIn
) -> None:
    lease = start(page, live_server, cast, sign_in)
    press(page, "1", "m")
    page.get_by_label("Somebody’s personal data").check()
    page.get_by_label("In words").fill("A phone number in B")
    page.get_by_role("button", name="Report it").click()

    page.get_by_text("The manager has it.").wait_for()
    report = Report.objects.get()
    assert (report.kind, report.text, report.task) == ("personal_data", "A phone number in B", lease.task)
    page.locator("#report").get_by_role("button", name="Close").click()
    press(page, "2", "3", "4", "Enter")
    wait_for_next(page, lease)
    assert ranks_of(the_ranking(page)) == [1, 2, 3, 4]


def test_skipping_keeps_the_reason_and_the_note(page: Page, live_server: object, cast: Cast, sign_in: SignIn) -> None:
    lease = start(page, live_server, cast, sign_in)
    press(page, "s")
    page.get_by_label("Another reason").check()
    page.get_by_label("Note").fill("Half a prompt")
    page.get_by_role("button", name="Skip it").click()

    wait_for_next(page, lease)
    lease.refresh_from_db()
    assert (lease.state, lease.skip_reason, lease.skip_note) == ("skipped", "other", "Half a prompt")


def test_a_task_that_ran_out_says_so_and_keeps_the_work(
    page: Page, live_server: object, cast: Cast, sign_in: SignIn
) -> None:
    page.clock.install()
    lease = start(page, live_server, cast, sign_in)
    press(page, "1")
    Lease.objects.filter(pk=lease.pk).update(state="expired")

    page.clock.run_for(61_000)

    page.locator("#ran-out-notice").wait_for()
    assert page.locator("#answer-A .place input:checked").input_value() == "1"
    press(page, "2", "3", "4", "Enter")
    wait_until(page, Ranking.objects.exists)


def test_progress_and_pace_count_on(page: Page, live_server: object, cast: Cast, sign_in: SignIn) -> None:
    lease = start(page, live_server, cast, sign_in)
    progress = page.locator("#progress")
    progress.get_by_text("left").wait_for()
    assert "0 today" in progress.inner_text().replace("\n", " ")
    wait_for_ahead(page)

    press(page, "1", "2", "3", "4", "Enter")
    wait_for_next(page, lease)

    assert "1 today" in progress.inner_text().replace("\n", " ")


def test_the_tools_work_without_javascript(chromium: Browser, live_server: object, cast: Cast, sign_in: SignIn) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    start(page, live_server, cast, sign_in)

    page.get_by_role("link", name="Compare two answers").click()
    page.get_by_label("to").select_option("C")
    page.get_by_role("button", name="Show").click()
    assert "in A only" in page.locator("#compared").inner_text()
    page.go_back()
    page.go_back()
    page.get_by_role("link", name="Your last rankings").click()
    assert "Nothing that can still be changed." in page.locator("main").inner_text()
    context.close()


def test_a_training_task_tells_how_it_was_meant_before_the_next(
    page: Page, live_server: object, cast: Cast, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch, complaints: list[str]
) -> None:
    lease = start(page, live_server, cast, sign_in)
    expected = {key: rank for rank, key in enumerate(reversed(lease.shown), start=1)}
    told = services.Feedback(0.25, expected, "The *last* one answers the question.", None)
    monkeypatch.setattr("annotation.services.rankings.note_submitted", lambda *_args: told)
    type(lease.task).objects.filter(pk=lease.task_id).update(role="training")
    page.reload()
    page.wait_for_selector("#work[data-feedback] .answer.current")

    press(page, "1", "2", "3", "4", "Enter")

    page.get_by_role("heading", name="A training task: this is how it was meant.").wait_for()
    told_on_page = page.locator("#work").inner_text()
    assert "25 % of the pairs" in told_on_page
    assert page.locator("#work .notice em").inner_text() == "last"
    facts = [item.inner_text().split() for item in page.locator(".answer .facts").all()]
    assert [(fact[2], fact[4]) for fact in facts] == [("1", "4"), ("2", "3"), ("3", "2"), ("4", "1")]
    page.wait_for_timeout(100)
    press(page, "Enter")
    page.wait_for_selector("#work:not(.feedback) .answer.current")
    assert str(lease.public_id) not in page.url
    assert complaints == []


def test_a_ranking_sent_late_does_not_take_away_how_a_training_task_was_meant(
    page: Page, live_server: object, cast: Cast, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = start(page, live_server, cast, sign_in)
    wait_for_ahead(page)
    training = Lease.objects.exclude(pk=lease.pk).get()
    told = services.Feedback(1.0, {}, "", None)
    monkeypatch.setattr("annotation.services.rankings.note_submitted", lambda *_args: told)
    type(training.task).objects.filter(pk=training.task_id).update(role="training")
    page.route("**/send/", lambda route: route.abort())
    press(page, "1", "2", "3", "4", "Enter")
    wait_for_next(page, lease)
    page.wait_for_selector("#outbox-state.offline")
    page.reload()  # the task came from ahead before it was one of training
    page.wait_for_selector("#work[data-feedback] .answer.current")
    press(page, "1", "2", "3", "4", "Enter")
    page.wait_for_selector("#work.feedback")

    page.unroute("**/send/")
    page.evaluate("dispatchEvent(new Event('online'))")
    wait_until(page, lambda: Ranking.objects.count() == 2)
    page.locator("#outbox-state").wait_for(state="hidden")
    page.wait_for_load_state("networkidle")

    assert page.locator("#work.feedback").count() == 1
    page.get_by_role("button", name="Go on").click()
    page.wait_for_selector("#work:not(.feedback) .answer.current")


def test_times_are_those_of_the_readers_clock(
    chromium: Browser, live_server: object, cast: Cast, sign_in: SignIn
) -> None:
    kolkata = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
    context = chromium.new_context(timezone_id="Asia/Kolkata", locale="en-US")
    page = context.new_page()
    page.clock.install()
    lease = start(page, live_server, cast, sign_in)

    def own(moment: datetime.datetime) -> str:
        return f"{moment.astimezone(kolkata):%H:%M}"

    held = page.locator(".hold time")
    assert held.inner_text() == own(lease.expires_at)
    Lease.objects.update(expires_at=lease.expires_at - datetime.timedelta(minutes=10))
    held.evaluate("element => element.textContent = '?'")
    page.clock.fast_forward(60_000)
    wait_until(page, lambda: held.inner_text() != "?")
    lease.refresh_from_db()
    assert held.inner_text() == own(lease.expires_at)

    press(page, "1", "2", "3", "4", "Enter")
    wait_for_next(page, lease)
    the_ranking(page)
    press(page, "z")
    page.locator("#recent").get_by_text("A › B › C › D").wait_for()
    assert page.locator("#recent time").inner_text() == own(Ranking.objects.get().created_at)
    context.close()
