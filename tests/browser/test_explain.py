"""Explaining a score in the browser: asked for by a button, followed until it is there, and then left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from celery import current_app
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import expect

from reward.models import Explanation
from runs.artifacts import store
from runs.models import Run
from tests.browser.cast import Cast, add_models
from tests.browser.conftest import SignIn, asked_within

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_explanation_is_followed_until_it_is_there(
    page: Page,
    live_server: object,
    cast: Cast,
    sign_in: SignIn,
    complaints: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(current_app, "send_task", lambda *args, **options: None)
    monkeypatch.setattr(type(store()), "exists", lambda self, sha256: True)  # the cast's models have no weights
    made = add_models(cast).explanation
    payload = made.payload
    made.delete()
    sign_in(page.context, cast.researcher)
    page.clock.install()
    page.goto(f"{live_server}{reverse('reward:completion-detail', args=[made.completion.public_id])}")

    page.get_by_role("button", name="Explain with RM 1").click()
    expect(page.get_by_text("Waits for a worker")).to_be_visible()
    page.get_by_role("heading", name="Answered").evaluate("heading => heading.dataset.same = 'yes'")
    Explanation.objects.update(payload=payload)
    Run.objects.filter(kind="reward.explain").update(state="succeeded", finished_at=timezone.now())
    page.clock.fast_forward(2000)

    expect(page.get_by_role("heading", name="Why RM 1 scores it")).to_be_visible()
    assert page.locator(".heat-map").evaluate("element => element.textContent") == made.completion.text
    assert page.locator("[data-same=yes]").count() == 1  # the page was not loaded again
    assert page.locator("#explanations").get_attribute("hx-trigger") is None
    assert asked_within(page, 2600) == []
    assert complaints == []
