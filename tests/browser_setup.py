"""Finds a Chromium for the browser tests, and with --install brings one; standard library only.

An installed Chromium or Chrome is taken first, then Debian's package (when root), then Playwright's own download. Where
none can be had the browser tests are skipped, and --report says so as the last line of `make test`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
INSTALL_SECONDS = 600


def find() -> str | None:
    """The path of a Chromium that starts, or None. PLUMBLINE_BROWSER names one to take instead."""
    chosen = os.environ.get("PLUMBLINE_BROWSER")
    candidates = [chosen] if chosen else [*map(shutil.which, NAMES), *_downloaded()]
    return next((path for path in candidates if path and _starts(path)), None)


def install() -> str | None:
    """Find a Chromium or bring one; returns None where that cannot be done."""
    if found := find():
        return found
    attempts = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    if os.geteuid() == 0 and shutil.which("apt-get"):
        attempts.insert(0, ["sh", "-c", "apt-get update -q && apt-get install -y -q --no-install-recommends chromium"])
    for attempt in attempts:
        print(f"No Chromium here; trying: {' '.join(attempt)}", flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        try:
            subprocess.run(attempt, env=environment, timeout=INSTALL_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            print(f"That did not work: {error}", flush=True)
        if found := find():
            return found
    return None


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
