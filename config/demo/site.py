"""Starts `manage.py up` for the demo and ends it; its programs write to files, the terminal belongs to the progress."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from accounts.errors import Refused

READY_SECONDS = 120.0


@contextmanager
def running_site(*, port: int, logs: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The site with its workers, ready to be used; stopped in order at the end of the block.

    Raises:
        Refused: it did not start; with the sentence it ended on.
    """
    logs.mkdir(parents=True, exist_ok=True)
    output = logs / "up.log"
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "up", "--port", str(port), "--logs", str(logs)]
    with output.open("wb") as handle:
        # A session of its own: Ctrl-C reaches this process alone, which then ends the site in order.
        process = subprocess.Popen(command, stdout=handle, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        _wait_until_ready(process, port, output)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, output: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            last = output.read_text(errors="replace").strip().splitlines() or ["The site ended without a word."]
            raise Refused(last[-1].removeprefix("CommandError: "), code="site_failed")
        if _answers(port):
            return
        time.sleep(0.25)
    raise Refused(f"The site did not answer within {READY_SECONDS:.0f} seconds; see {output}.", code="site_not_ready")


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz/", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False
