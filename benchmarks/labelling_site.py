"""The site as production runs it, for the length of a benchmark: its own database, its own files, loopback only."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from config import embedded
from config.embedded.site import STOP_ORDER, SiteOptions, answers, programs
from config.embedded.supervisor import Supervisor

READY_SECONDS = 60.0
DURABLE = ("fsync", "synchronous_commit", "full_page_writes")


class Site(NamedTuple):
    """A running site; `web` and `postgres` are the roots of their process trees."""

    host: str
    port: int
    web: int
    postgres: int
    directory: Path

    @property
    def origin(self) -> str:
        """As a browser behind the TLS proxy names it."""
        return f"https://{self.host}:{self.port}"

    @property
    def pids(self) -> dict[str, int]:
        return {"web": self.web, "postgres": self.postgres}

    @property
    def headers(self) -> dict[str, str]:
        """What the TLS proxy in front of a production site, and the browser before it, would send."""
        return {"X-Forwarded-Proto": "https", "Origin": self.origin, "Referer": f"{self.origin}/"}

    def web_workers(self) -> list[psutil.Process]:
        return psutil.Process(self.web).children()


@contextlib.contextmanager
def site() -> Iterator[Site]:
    """Run PostgreSQL, Redis and the web server of `manage.py up` under production settings; Django is set up for it.

    Files lie below /var/tmp, which is on a disk where /tmp may be memory: a commit has to cost what it costs.
    """
    directory = Path(tempfile.mkdtemp(prefix="plumbline-benchmark-", dir="/var/tmp"))
    # The services run under an account of their own and must reach their files.
    directory.chmod(0o711)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        running = stack.enter_context(embedded.services("dev", directory / "services"))
        postgres = next(service for service in running.started if service.name == "postgres")
        assert postgres.process is not None
        _configure(directory / "var", running)
        options = SiteOptions(port=free_port(), workers=False, logs=directory)
        # What the site says is not the benchmark's own word.
        with contextlib.redirect_stdout(sys.stderr):
            supervisor = Supervisor(logs=directory)
        stack.callback(supervisor.stop, STOP_ORDER)
        supervisor.start(programs(options)[0])
        _wait(options)
        yield Site(options.host, options.port, supervisor.pid("web"), postgres.process.pid, directory)


def _configure(var: Path, running: embedded.Running) -> None:
    """Production settings by the environment, as a deployment sets them; then tables and static files."""
    import django
    from django.core.management import call_command

    var.mkdir()
    os.environ.pop(embedded.TEST_DIRECTORY, None)
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "config.settings.production",
        "SECRET_KEY": secrets.token_urlsafe(48),
        "ALLOWED_HOSTS": "127.0.0.1,localhost",
        "DATABASE_URL": running.database_url,
        "REDIS_URL": running.redis_url,
        "PLUMBLINE_VAR": str(var),
        "LOG_LEVEL": os.environ.get("LOG_LEVEL", "WARNING"),
    }
    django.setup()
    call_command("migrate", verbosity=0)
    call_command("collectstatic", verbosity=0, interactive=False)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(options: SiteOptions) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not answers(options):
        if time.monotonic() > deadline:
            sys.exit(f"The site did not answer within {READY_SECONDS:.0f} seconds; see {options.logs}.")
        time.sleep(0.1)


def durability() -> dict[str, str]:
    """PostgreSQL's settings that a fast and careless server would have off."""
    from django.db import connection

    with connection.cursor() as cursor:
        found = {}
        for name in DURABLE:
            cursor.execute(f"SHOW {name}")
            found[name] = str(cursor.fetchone()[0])
        return found
