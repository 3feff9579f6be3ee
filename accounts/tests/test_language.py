"""Which language a page is in: the account's, else the browser's choice, else what it asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import translation

from accounts.errors import Refused
from accounts.services import choose_language
from tests.cast import Cast

HEBREW = override_settings(LANGUAGES=[*settings.LANGUAGES, ("he", "עברית")])


@pytest.fixture(autouse=True)
def english_again() -> Iterator[None]:
    """A request leaves its language in the thread; here the thread is the test's own."""
    with translation.override("en"):
        yield


def language_of(client: Client, path: str = "/sign-in/", **headers: str) -> str:
    page = client.get(path, headers=headers).content.decode()
    return " ".join(re.findall(r'<html lang="([^"]+)" dir="([^"]+)">', page)[0])


def choose(client: Client, language: str) -> str:
    answer = client.post(reverse("accounts:language"), {"language": language, "next": "/sign-in/"})
    return str(answer.headers["Location"])


def test_a_browser_gets_the_language_it_asks_for(db: None) -> None:
    assert language_of(Client(), **{"Accept-Language": "de-AT,de;q=0.9,en;q=0.5"}) == "de ltr"
    assert language_of(Client(), **{"Accept-Language": "fr"}) == "en ltr"


def test_the_switch_goes_before_what_the_browser_asks_for(db: None) -> None:
    client = Client()

    assert choose(client, "de") == "/sign-in/"

    assert language_of(client, **{"Accept-Language": "en"}) == "de ltr"
    assert "Anmelden" in client.get("/sign-in/").content.decode()


def test_a_person_keeps_their_language_on_another_machine(cast: Cast) -> None:
    here, there = Client(), Client()
    for client in (here, there):
        client.force_login(cast.alice)
    choose(here, "de")

    assert language_of(there, "/", **{"Accept-Language": "en"}) == "de ltr"
    there.logout()
    assert language_of(there, **{"Accept-Language": "en"}) == "en ltr"


def test_the_switch_leads_nowhere_else(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.alice)

    answer = client.post(reverse("accounts:language"), {"language": "de", "next": "https://evil.example/"})

    assert answer.headers["Location"] == "/"
    assert client.get(reverse("accounts:language")).status_code == 405


def test_a_language_without_a_translation_is_refused(cast: Cast) -> None:
    with pytest.raises(Refused, match="There is no translation into tlh; choose one of en, de") as refused:
        choose_language(user=cast.alice, language="tlh")

    assert refused.value.code == "language_unknown"
    cast.alice.refresh_from_db()
    assert cast.alice.language == ""


@pytest.mark.parametrize("language", ["tlh", "fr"], ids=["nobody's", "of Django alone"])
def test_a_language_that_the_site_no_longer_has_leaves_the_choice_to_the_browser(cast: Cast, language: str) -> None:
    cast.alice.language = language
    cast.alice.save()
    client = Client()
    client.force_login(cast.alice)

    assert language_of(client, "/", **{"Accept-Language": "de"}) == "de ltr"


def test_the_api_knows_and_changes_the_language(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.alice)

    def patch(language: str) -> tuple[int, str]:
        answer = client.patch("/api/v1/me/", {"language": language}, content_type="application/json")
        return answer.status_code, answer.json().get("language") or answer.json()["error"]["code"]

    assert patch("de") == (200, "de")
    assert patch("tlh") == (400, "language_unknown")
    assert client.get("/api/v1/me/").json()["language"] == "de"


@HEBREW
def test_a_language_from_right_to_left_turns_the_page(db: None) -> None:
    client = Client()
    choose(client, "he")

    assert language_of(client) == "he rtl"
