"""Real Celery workers against a test's own database, as separate processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings
from django.db import connection

from config.embedded import TEST_DIRECTORY


def worker_environment() -> dict[str, str]:
    """The environment in which another process sees this test's database, Redis and files."""
    url = urlsplit(os.environ["DATABASE_URL"])
    return {
        **{name: value for name, value in os.environ.items() if name != TEST_DIRECTORY},
        "DJANGO_SETTINGS_MODULE": "config.settings.test",
        "DATABASE_URL": urlunsplit(url._replace(path="/" + str(connection.settings_dict["NAME"]))),
        "PLUMBLINE_VAR": str(settings.VAR_DIR),
    }


def start_worker(*, queue: str, log: Path, pool: str = "solo") -> subprocess.Popen[bytes]:
    """One worker as `manage.py up` starts it, its output in `log`."""
    command = [sys.executable, "-m", "celery", "-A", "config", "worker", "-Q", queue, "--pool", pool]
    options = ["--prefetch-multiplier", "1", "-l", "info", "-n", f"{queue}-{os.getpid()}-{log.stem}@%h"]
    with log.open("ab") as output:
        return subprocess.Popen(
            [*command, *options],
            env=worker_environment(),
            cwd=settings.BASE_DIR,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def what_fell(started: list[subprocess.Popen[bytes]], *logs: Path) -> str:
    """What the workers wrote last, if one ended that nobody stopped or killed; else an empty text."""
    if all(process.poll() in (None, 0, -signal.SIGKILL) for process in started):
        return ""
    return "A worker fell:\n" + "\n".join(log.read_text(errors="replace")[-3000:] for log in logs)


@contextmanager
def workers(directory: Path, *queues: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A worker for each queue while the block runs; stopped by process id at its end.

    Raises:
        AssertionError: one fell by itself; with the end of what it wrote.
    """
    started = [start_worker(queue=queue, log=directory / f"worker-{queue}.log") for queue in queues]
    try:
        yield started
    finally:
        told = what_fell(started, *directory.glob("worker-*.log"))
        for process in started:
            process.send_signal(signal.SIGTERM)
        for process in started:
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        assert not told, told
