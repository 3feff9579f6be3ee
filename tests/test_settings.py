"""Settings: a public site does not start half-configured, and a wrong value is named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from config import env
from config.embedded.layout import PROJECT

SECRET = "a-long-random-text-that-nobody-would-ever-guess"
COMPLETE = {"SECRET_KEY": SECRET, "ALLOWED_HOSTS": "plumbline.example"}
OURS = {"SECRET_KEY", "ALLOWED_HOSTS", "DEBUG", "MODEL_ROOTS", "RUN_THREADS", "DJANGO_SETTINGS_MODULE"}
EACH_CHECK_FIRST = """
import os, django
django.setup()
from django.core.checks.registry import registry
for check in registry.get_checks(include_deployment_checks=True):
    if os.fork() == 0:
        try:
            check(app_configs=None, databases=None)
        except ImportError as error:
            print(check.__module__, error, flush=True)
        os._exit(0)
    os.wait()
print("all")
"""
LOAD = "import config.settings.production as p; print(p.DEBUG, p.ALLOWED_HOSTS, p.SESSION_COOKIE_SECURE)"


def production(*, code: str = LOAD, **variables: str) -> subprocess.CompletedProcess[str]:
    """Load the production settings in a process of their own."""
    environment = {name: value for name, value in os.environ.items() if name not in OURS}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_complete_production_site_starts() -> None:
    done = production(**COMPLETE)

    assert done.stdout.strip() == "False ['plumbline.example'] True", done.stderr


def test_no_check_minds_being_the_first() -> None:
    """Django keeps them in a set, so a process that imports in a circle for one of them starts only now and then."""
    done = production(code=EACH_CHECK_FIRST, DJANGO_SETTINGS_MODULE="config.settings.production", **COMPLETE)

    assert done.stdout == "all\n", done.stderr


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"DEBUG": "yes"}, "DEBUG is on"),
        ({"SECRET_KEY": ""}, "SECRET_KEY is the default"),
        ({"SECRET_KEY": "short"}, "SECRET_KEY is the default or shorter"),
        ({"SECRET_KEY": "insecure-" + SECRET}, "SECRET_KEY is the default"),
        ({"ALLOWED_HOSTS": ""}, "ALLOWED_HOSTS is empty"),
        ({"ALLOWED_HOSTS": " , "}, "ALLOWED_HOSTS is empty"),
        ({"ALLOWED_HOSTS": "plumbline.example,*"}, "ALLOWED_HOSTS is empty or '*'"),
        ({"DEBUG": "maybe"}, "DEBUG is 'maybe'; it must be true or false."),
        ({"RUN_THREADS": "two"}, "RUN_THREADS is 'two'; it must be a whole number."),
        ({"DATABASE_URL": "sqlite:///db"}, "DATABASE_URL must start with postgres://"),
    ],
    ids=str,
)
def test_a_half_configured_production_site_refuses_to_start(changes: dict[str, str], sentence: str) -> None:
    done = production(**{**COMPLETE, **changes})

    assert done.returncode == 1
    assert sentence in done.stderr.splitlines()[-1]
    # The secret itself is never printed.
    assert SECRET not in done.stderr


@pytest.mark.parametrize(
    ("raw", "value"), [("1", True), ("True", True), (" on ", True), ("0", False), ("No", False), ("", True)]
)
def test_a_switch_is_read_from_words(monkeypatch: pytest.MonkeyPatch, raw: str, value: bool) -> None:
    monkeypatch.setenv("SWITCH", raw)
    assert env.boolean("SWITCH", True) is value


def test_a_wrong_value_is_named_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOW_MANY", "3.5")
    with pytest.raises(ImproperlyConfigured, match=r"^HOW_MANY is '3\.5'; it must be a whole number\.$"):
        env.integer("HOW_MANY")
    monkeypatch.delenv("HOW_MANY")
    with pytest.raises(ImproperlyConfigured, match=r"^HOW_MANY is not set; it must be a whole number\.$"):
        env.integer("HOW_MANY")
    assert env.integer("HOW_MANY", 4) == 4


def test_lists_and_directories_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LIST", "a.example, b.example,,")
    monkeypatch.setenv("DIRECTORIES", f"{tmp_path}{os.pathsep}{tmp_path / 'x' / '..' / 'y'}")

    assert env.words("LIST") == ["a.example", "b.example"]
    assert env.paths("DIRECTORIES") == [tmp_path, tmp_path / "y"]


@pytest.mark.parametrize("url", ["mysql://u@h/db", "sqlite://:memory:"])
def test_only_postgresql_is_served(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="Plumbline runs on PostgreSQL only"):
        env.database(url)


def test_no_page_may_run_what_is_written_into_it(db: None) -> None:
    policy = Client().get("/sign-in/").headers["Content-Security-Policy"]

    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == directives["style-src"] == directives["form-action"] == "'self'"
    assert directives["frame-ancestors"] == directives["base-uri"] == "'none'"
    assert "unsafe" not in policy
    assert settings.X_FRAME_OPTIONS == "DENY"
