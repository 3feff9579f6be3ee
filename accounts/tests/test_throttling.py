"""Guessing a password is slowed down, and nobody else is kept out by it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client, RequestFactory, override_settings
from django.utils import timezone

from accounts import throttling
from accounts.errors import Refused
from accounts.models import SignInAttempt
from accounts.throttling import MAX_FOR_ADDRESS, MAX_FOR_BOTH, MAX_FOR_PERSON, WINDOW, begin_attempt, client_address
from tests.cast import PASSWORD, Cast

HERE, THERE = "192.0.2.1", "192.0.2.2"


def sign_in(username: str, password: str, address: str = HERE) -> int:
    form = {"username": username, "password": password}
    return Client(REMOTE_ADDR=address).post("/sign-in/", form).status_code


def test_after_five_failures_the_right_password_waits_too(cast: Cast) -> None:
    assert [sign_in("alice", "guess") for _n in range(MAX_FOR_BOTH)] == [200] * MAX_FOR_BOTH

    assert sign_in("ALICE", PASSWORD) == 429
    assert sign_in("alice", PASSWORD, THERE) == 302
    assert sign_in("max", PASSWORD) == 302
    SignInAttempt.objects.update(at=timezone.now() - WINDOW - timedelta(seconds=1))
    assert sign_in("alice", PASSWORD) == 302


def test_a_page_and_the_api_say_the_same(cast: Cast) -> None:
    for _n in range(MAX_FOR_BOTH):
        sign_in("alice", "guess")
    wrong = {"username": "alice", "password": "guess"}

    page = Client(REMOTE_ADDR=HERE).post("/sign-in/", wrong)
    told = Client(REMOTE_ADDR=HERE).post("/api/v1/tokens/", wrong, content_type="application/json")
    admin = Client(REMOTE_ADDR=HERE).post("/admin/login/", wrong)

    sentence = "Too many attempts to sign in have failed; wait 15 minutes and try again."
    assert (told.status_code, told.json()["error"]["code"]) == (429, "too_many_attempts")
    assert told.json()["error"]["message"] == sentence
    assert sentence in page.content.decode()
    assert (page.status_code, admin.status_code) == (429, 429)


def test_success_forgets_the_failures_before_it(cast: Cast) -> None:
    for _n in range(3):
        assert [sign_in("alice", "guess") for _n in range(MAX_FOR_BOTH - 1)] == [200] * (MAX_FOR_BOTH - 1)
        assert sign_in("alice", PASSWORD) == 302

    assert not SignInAttempt.objects.exists()


def test_a_person_is_guarded_against_many_addresses(db: None) -> None:
    for number in range(MAX_FOR_PERSON):
        begin_attempt(username="alice", address=f"198.51.100.{number}")

    with pytest.raises(Refused, match="Too many attempts"):
        begin_attempt(username="alice", address=HERE)
    begin_attempt(username="max", address=HERE)


def test_an_address_may_not_try_everybody(db: None) -> None:
    for number in range(MAX_FOR_ADDRESS):
        begin_attempt(username=f"user{number}", address=HERE)

    with pytest.raises(Refused, match="Too many attempts"):
        begin_attempt(username="alice", address=HERE)
    begin_attempt(username="alice", address=THERE)


def test_neither_name_nor_address_is_stored_as_it_is(db: None) -> None:
    begin_attempt(username="my password by mistake", address=HERE)

    assert "password" not in str(SignInAttempt.objects.values())
    assert HERE not in str(SignInAttempt.objects.values())


@pytest.mark.django_db(transaction=True)
def test_many_guesses_at_once_are_as_many() -> None:
    def attempt(_n: int) -> bool:
        try:
            begin_attempt(username="alice", address=HERE)
        except Refused:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(8) as threads:
        let_through = sum(threads.map(attempt, range(40)))

    assert let_through <= MAX_FOR_BOTH


@pytest.mark.parametrize(
    ("num_proxies", "forwarded", "address"),
    [
        (0, "203.0.113.9", HERE),
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "10.0.0.1, 203.0.113.9", "203.0.113.9"),
        (2, "10.0.0.1, 203.0.113.9, 192.0.2.7", "203.0.113.9"),
        (1, "", HERE),
        (1, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
    ],
)
def test_only_our_own_proxies_are_believed(num_proxies: int, forwarded: str, address: str) -> None:
    request = RequestFactory().get("/", REMOTE_ADDR=HERE, headers={"X-Forwarded-For": forwarded} if forwarded else None)

    with override_settings(NUM_PROXIES=num_proxies):
        assert client_address(request) == address
    assert throttling.client_address(None) == ""
