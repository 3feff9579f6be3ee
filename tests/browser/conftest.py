from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.test import Client

from accounts.models import User
from tests.browser.cast import Cast, make_cast

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

SignIn = Callable[["BrowserContext", User], None]


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
