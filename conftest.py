"""The test run's PostgreSQL, Redis and browser, shared by all workers, and the scenes that modules begin with."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.db import transaction
from pytest_django import DjangoDbBlocker

# Triton decides when it is imported whether its kernels run in its interpreter, and PyTorch imports it early.
os.environ.setdefault("TRITON_INTERPRET", "1")

from config import embedded
from reward.training.process import loading
from tests import browser_setup

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_machine = contextlib.ExitStack()
_collecting = contextlib.ExitStack()
_started = False


def _is_xdist_worker() -> bool:
    return "PYTEST_XDIST_WORKER" in os.environ


def _start_services() -> None:
    """Start the services that config.settings.test pointed the URLs at; URLs from outside are left alone."""
    global _started
    directory = os.environ.get(embedded.TEST_DIRECTORY)
    if directory is None or _started or _is_xdist_worker():
        return
    _started = True
    _machine.enter_context(embedded.services("test", Path(directory)))


def pytest_configure(config: pytest.Config) -> None:
    # Workers only run tests: the files they share belong to the process that started them.
    if _is_xdist_worker():
        return
    var = os.environ.get("PLUMBLINE_VAR", "")
    if Path(var).parent == Path(tempfile.gettempdir()) and Path(var).name.startswith("plumbline-test-"):
        _machine.callback(shutil.rmtree, var, ignore_errors=True)
    if getattr(config.option, "numprocesses", None):
        _start_services()


def pytest_collection(session: pytest.Session) -> None:
    _collecting.enter_context(loading())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow tests first: none keeps one worker busy at the end, while the others have nothing left."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_collection_finish(session: pytest.Session) -> None:
    _collecting.close()


def pytest_unconfigure(config: pytest.Config) -> None:
    _machine.close()


@pytest.fixture(scope="session")
def services_running() -> None:
    """PostgreSQL and Redis are up. Without xdist they start here, so that a run of pure tests starts nothing."""
    _start_services()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(services_running: None, django_db_modify_db_settings_parallel_suffix: None) -> None:
    """pytest-django asks for this before it creates the test database; each worker has one of its own."""


@pytest.fixture(scope="module")
def first_scene(
    request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[Any]:
    """What the module's `make_scene()` makes, in a transaction that stays open for the whole module."""
    whole = transaction.atomic()
    with django_db_blocker.unblock():
        whole.__enter__()
    try:
        with django_db_blocker.unblock():
            scene = request.module.make_scene()
        yield scene
    finally:
        with django_db_blocker.unblock():
            transaction.set_rollback(True)
            whole.__exit__(None, None, None)


@pytest.fixture
def scene(db: None, first_scene: Any) -> Any:
    """A copy of the module's scene. The test's transaction is a savepoint in the module's, so its rows go back.

    Files in the store do not: a test that damages one mends it, or makes its own.
    """
    return deepcopy(first_scene)


@pytest.fixture(scope="session")
def chromium(services_running: None) -> Iterator[Browser]:
    """A headless Chromium; tests that ask for it are skipped where none could be had."""
    executable = browser_setup.find()
    if executable is None:
        pytest.skip("no Chromium on this machine; `make test` tries to install one")
    from playwright.sync_api import sync_playwright

    # Playwright's synchronous API keeps an event loop in this thread, which Django would refuse to query from.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()
