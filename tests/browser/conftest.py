from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from threading import Lock
from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.core.signals import request_finished, request_started
from django.test import Client

from accounts.models import User
from tests.browser.cast import Cast, make_cast

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

SignIn = Callable[["BrowserContext", User], None]

QUIET_SECONDS = 0.3
"""A page that is closed saves its draft, and the request may still be on its way to the server."""


class Requests:
    """How many requests the server is answering, and when that last changed."""

    def __init__(self) -> None:
        self.num_open = 0
        self.changed_at = time.monotonic()
        self._lock = Lock()

    def begin(self, **_: object) -> None:
        self._change(1)

    def end(self, **_: object) -> None:
        self._change(-1)

    def _change(self, by: int) -> None:
        with self._lock:
            self.num_open += by
            self.changed_at = time.monotonic()

    @property
    def are_over(self) -> bool:
        return self.num_open == 0 and time.monotonic() - self.changed_at >= QUIET_SECONDS


@pytest.fixture(autouse=True)
def last_requests(transactional_db: None) -> Iterator[None]:
    """Waits until the server has answered everything: emptying the tables under a request deadlocks, or loses its rows.

    It stands before every page and after the database, so that it ends between them.
    """
    requests = Requests()
    request_started.connect(requests.begin)
    request_finished.connect(requests.end)
    yield
    deadline = time.monotonic() + 10
    requests.changed_at = time.monotonic()
    while not requests.are_over:
        assert time.monotonic() < deadline, f"{requests.num_open} requests are still unanswered"
        time.sleep(0.02)
    request_started.disconnect(requests.begin)
    request_finished.disconnect(requests.end)


@pytest.fixture
def page(chromium: Browser, last_requests: None) -> Iterator[Page]:
    """A fresh page, 1440 x 900, in a context of its own; any uncaught script error fails the test."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    errors: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    return make_cast()


@pytest.fixture
def sign_in(live_server: object) -> SignIn:
    """Signs a person in without the form: puts their session's cookie into the browser."""

    def put_cookie(context: BrowserContext, user: User) -> None:
        client = Client()
        client.force_login(user)
        cookie = client.cookies[settings.SESSION_COOKIE_NAME]
        context.add_cookies([{"name": cookie.key, "value": cookie.value, "url": str(live_server)}])

    return put_cookie


@pytest.fixture
def complaints(page: Page) -> list[str]:
    """What the browser's console says is wrong, breaches of the content security policy among it."""
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text) if message.type == "error" else None)
    return found


def asked_within(page: Page, milliseconds: int) -> list[str]:
    """What the page asks for while its clock, which the test has installed, goes on so far."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.fast_forward(milliseconds)
    page.wait_for_timeout(300)
    return asked
