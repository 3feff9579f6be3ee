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
from django.db import OperationalError

from accounts.errors import Refused
from config.embedded import EmbeddedError
from config.embedded.ports import require_free
from config.embedded.spawn import end, spawn

READY_SECONDS = 120.0
STOP_SECONDS = 60.0


@contextmanager
def running_site(*, port: int, logs: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The site with its workers, ready to be used; stopped in order at the end of the block.

    Call it from the main thread: however this process ends, the kernel then asks the site to end too.

    Raises:
        Refused: the port is in use, it did not start (with the sentence it ended on), or its database went away within
            the block.
    """
    _require_free(port)
    logs.mkdir(parents=True, exist_ok=True)
    output = logs / "up.log"
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "up", "--port", str(port), "--logs", str(logs)]
    process = None
    try:
        with output.open("wb") as handle:
            # In a session of its own: Ctrl-C reaches this process alone, which then ends the site in order.
            process = spawn(command, directory=settings.BASE_DIR, death_signal=signal.SIGTERM, output=handle)
        _wait_until_ready(process, port, output)
        yield process
    except OperationalError:
        raise _lost("database went away", logs, code="database_lost") from None
    finally:
        if process is not None:
            end(process, [(signal.SIGTERM, STOP_SECONDS)])


def require_running(process: subprocess.Popen[bytes], *, logs: Path) -> None:
    """Raises Refused (`site_lost`) once the site has ended."""
    if process.poll() is not None:
        raise _lost("site ended", logs, code="site_lost")


def _lost(what: str, logs: Path, *, code: str) -> Refused:
    return Refused(f"The {what} while the demo ran; the logs in {logs} say why. Run the command again.", code=code)


def _require_free(port: int) -> None:
    # Asked before the start: whatever answers on the port later is our own site.
    try:
        require_free("127.0.0.1", port)
    except EmbeddedError as error:
        if error.code != "port_in_use":
            raise Refused(str(error), code=error.code) from None
        message = f"Port {port} is in use; end what uses it, or choose another: PORT={port + 1} make demo."
        raise Refused(message, code=error.code, status=409) from None


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
