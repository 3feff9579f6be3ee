"""The services a machine may lack: a private PostgreSQL and Redis, and the supervisor behind `manage.py up`.

Imports nothing but the standard library until a service is started: the settings ask here for their URLs.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from config.embedded.errors import EmbeddedError
from config.embedded.keeping import match
from config.embedded.layout import Layout, make_directories, service_account, var_directory
from config.embedded.lock import held

if TYPE_CHECKING:
    from config.embedded.postgres import Postgres
    from config.embedded.redis import Redis

__all__ = ["EmbeddedError", "Layout", "Running", "Urls", "broker_url", "prepare_for_tests", "services", "urls"]

TEST_DIRECTORY = "PLUMBLINE_TEST_SERVICES"
"""Names the directory of the test run's services; the process that made it up starts them (tests/conftest.py)."""


class Urls(NamedTuple):
    database_url: str
    redis_url: str


class Running(NamedTuple):
    """Services that run, as `services` yields them."""

    database_url: str
    redis_url: str
    started: list[Postgres | Redis]

    def require_alive(self) -> None:
        """Raises EmbeddedError where a service that was started has ended."""
        for service in self.started:
            if service.process is None or service.process.poll() is not None:
                raise EmbeddedError(f"{service.name.capitalize()} has ended unexpectedly.", code="service_ended")


def urls() -> Urls:
    """The URLs that this installation's services have while they run; no side effects."""
    layout = Layout.default()
    return Urls(layout.database_url(), layout.redis_url())


def broker_url(redis_url: str) -> str:
    """Celery's spelling of a Redis URL: it has one of its own for unix sockets."""
    if not redis_url.startswith("unix://"):
        return redis_url
    path, _, query = redis_url.removeprefix("unix://").partition("?")
    database = dict(part.partition("=")[::2] for part in query.split("&")).get("db", "0")
    return f"redis+socket://{path}?virtual_host={database}"


@contextlib.contextmanager
def services(
    profile: Literal["dev", "test"] = "dev",
    directory: Path | None = None,
    *,
    only: frozenset[str] = frozenset({"postgres", "redis"}),
) -> Iterator[Running]:
    """Run PostgreSQL and Redis for the length of the block; enter it from the main thread.

    `directory` is private to them and becomes the unprivileged account's when root starts them; without it this
    installation's own is taken, with the database that was made for its var directory. Profile `test` forgoes
    durability and removes the directory at the end.

    Raises:
        EmbeddedError: a service does not start, or another process runs them in that directory.
    """
    from config.embedded.postgres import Postgres
    from config.embedded.redis import Redis

    layout = Layout.default() if directory is None else Layout.at(directory)
    account = service_account(layout.root)
    make_directories(layout, account)
    with contextlib.ExitStack() as stack:
        stack.enter_context(held(layout.root))
        if directory is None and (aside := match(layout, var_directory())):
            sentence = (
                f"The database here was made for files of {var_directory()} that are gone. It is set aside in {aside}."
            )
            print(sentence, file=sys.stderr, flush=True)
        if profile == "test":
            stack.callback(remove, layout)
        both: list[Postgres | Redis] = [Postgres(layout, account, profile), Redis(layout, account, profile)]
        started = [service for service in both if service.name in only]
        for service in started:
            # Registered first: a start that fails half-way must not leave a server behind.
            stack.callback(service.stop)
            service.start()
        yield Running(layout.database_url(), layout.redis_url(), started)


def remove(layout: Layout) -> None:
    """Remove the services' files; nothing outside their own directories."""
    for directory in (layout.root, layout.sockets):
        shutil.rmtree(directory, ignore_errors=True)


def prepare_for_tests() -> None:
    """Point DATABASE_URL and REDIS_URL at a test run's services, before the settings are read.

    URLs that are set stay as they are. Every xdist worker gets a Redis database of its own; PostgreSQL databases
    are told apart by pytest-django.
    """
    if TEST_DIRECTORY not in os.environ:
        if "DATABASE_URL" in os.environ and "REDIS_URL" in os.environ:
            return
        name = f"plumbline-test-{os.geteuid()}-{os.getpid()}-{secrets.token_hex(4)}"
        os.environ[TEST_DIRECTORY] = f"/tmp/{name}"  # noqa: S108 - unguessable, made 0700, refused if it exists
    layout = Layout.at(Path(os.environ[TEST_DIRECTORY]))
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    os.environ["DATABASE_URL"] = layout.database_url()
    os.environ["REDIS_URL"] = layout.redis_url(1 + int(worker.removeprefix("gw")) if worker else 0)
