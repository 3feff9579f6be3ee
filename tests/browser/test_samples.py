"""A run's samples in the browser: chosen without loading the page again, with the keyboard, and without scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from runs.models import RunSample
from tests.browser.cast import Cast, add_models
from tests.browser.conftest import SignIn

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.django_db(transaction=True)


def test_steps_are_walked_and_new_samples_come_by_themselves(
    page: Page, live_server: object, cast: Cast, sign_in: SignIn, complaints: list[str]
) -> None:
    run = add_models(cast).ppo
    sign_in(page.context, cast.researcher)
    page.goto(f"{live_server}{reverse('runs:run-detail', args=[run.public_id])}")
    samples = page.locator("#samples")
    expect(samples.get_by_role("heading", name="After step 25")).to_have_count(3)

    RunSample.objects.create(run=run, step=30, index=0, prompt="How?", text="Brand new.", values={"score": 1.5})
    expect(samples.locator("ins", has_text="Brand new.")).to_be_visible()

    samples.get_by_role("link", name="Earlier").press("Enter")
    expect(samples.get_by_role("heading", name="After step 25")).to_have_count(3)
    assert page.url.endswith("?step=25#samples")
    expect(samples.get_by_role("link", name="Earlier")).to_be_focused()
    expect(samples.get_by_role("button", name="Show")).to_be_hidden()
    samples.get_by_label("Step").select_option("10")
    expect(samples.get_by_role("heading", name="After step 10")).to_have_count(3)
    samples.get_by_role("link", name="Over all steps prompt 1").click()
    expect(samples.get_by_role("link", name="Step 30")).to_be_visible()
    assert page.url.endswith("?prompt=1#samples")

    page.go_back()
    expect(samples.get_by_role("heading", name="After step 10")).to_have_count(3)
    assert complaints == []


def test_the_page_is_not_loaded_again_for_another_step(
    page: Page, live_server: object, cast: Cast, sign_in: SignIn
) -> None:
    run = add_models(cast).ppo
    sign_in(page.context, cast.researcher)
    page.goto(f"{live_server}{reverse('runs:run-detail', args=[run.public_id])}")
    page.get_by_role("heading", name="Metrics").evaluate("heading => heading.dataset.same = 'yes'")

    page.locator("#samples").get_by_role("link", name="Earlier").click()

    expect(page.locator("#samples").get_by_role("heading", name="After step 20")).to_have_count(3)
    assert page.locator("[data-same=yes]").count() == 1


def test_without_scripts_a_step_is_chosen_by_form_and_link(
    chromium: Browser, live_server: object, cast: Cast, sign_in: SignIn
) -> None:
    run = add_models(cast).ppo
    context = chromium.new_context(java_script_enabled=False)
    sign_in(context, cast.researcher)
    page = context.new_page()
    page.goto(f"{live_server}{reverse('runs:run-detail', args=[run.public_id])}")
    samples = page.locator("#samples")

    samples.get_by_label("Step").select_option("5")
    samples.get_by_role("button", name="Show").click()
    expect(samples.get_by_role("heading", name="After step 5")).to_have_count(3)
    samples.get_by_role("link", name="Later").click()
    expect(samples.get_by_role("heading", name="After step 10")).to_have_count(3)
    samples.get_by_role("link", name="Over all steps prompt 2").click()
    expect(samples.get_by_role("link", name="Step 25")).to_be_visible()
    samples.get_by_role("link", name="All prompts at one step").click()
    expect(samples.get_by_role("heading", name="After step 25")).to_have_count(3)
    context.close()
