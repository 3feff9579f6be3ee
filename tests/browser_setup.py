"""Finds a Chromium for the browser tests, and with --install brings one; standard library only.

Best is Chromium's headless shell, the same engine without a desktop's browser around it, which takes less than half of
the processor time. Debian has a package of it (installed when root); next comes an installed Chromium or
Chrome, then Debian's chromium, then Playwright's own download. Where none can be had the browser tests are skipped, and
--report says so as the last line of `make test`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

SHELL = "chromium-headless-shell"
NAMES = (SHELL, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
APT_INSTALL = ("apt-get", "install", "-y", "-q", "--no-install-recommends")
INSTALL_SECONDS = 600


def find() -> str | None:
    """The path of a Chromium that starts, or None. PLUMBLINE_BROWSER names one to take instead."""
    chosen = os.environ.get("PLUMBLINE_BROWSER")
    candidates = [chosen] if chosen else [*map(shutil.which, NAMES), *_downloaded()]
    return next((path for path in candidates if path and _starts(path)), None)


def install() -> str | None:
    """Find the headless shell or bring it, else any Chromium; returns None where none can be had."""
    if os.environ.get("PLUMBLINE_BROWSER") or shutil.which(SHELL):
        return find()
    if os.geteuid() == 0 and shutil.which("apt-get"):
        if not find():
            _attempt(["apt-get", "update", "-q"])
        _attempt([*APT_INSTALL, SHELL])
        if not find():
            _attempt([*APT_INSTALL, "chromium"])
    if not find():
        _attempt([sys.executable, "-m", "playwright", "install", "chromium"])
    return find()


def _attempt(command: list[str]) -> None:
    print(f"Trying: {' '.join(command)}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        subprocess.run(command, env=environment, timeout=INSTALL_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"That did not work: {error}", flush=True)


def report(browser: str | None) -> str:
    if browser:
        return f"All checks passed; the browser tests ran in {browser}."
    return "All checks passed, but the browser tests were SKIPPED: no Chromium could be found or installed."


def _downloaded() -> list[str]:
    cache = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright")
    return [
        str(path) for path in sorted(cache.glob("chromium*/chrome-*/*")) if path.name in {"chrome", "headless_shell"}
    ]


def _starts(path: str) -> bool:
    """Ubuntu's `chromium-browser` may be a stub that only says to install a snap."""
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def main(arguments: list[str]) -> None:
    if "--install" in arguments:
        browser = install()
        print(f"Browser tests: {browser or 'skipped, no Chromium can be had'}")
    if "--report" in arguments:
        print(report(find()))


if __name__ == "__main__":
    main(sys.argv[1:])
