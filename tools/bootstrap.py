"""Makes .venv and installs the pinned requirements; quick when they have not changed. Standard library only.

Run by the system's Python, whatever its version: nothing newer than Python 3.7 may stand here, or the sentence about
the version could not be printed. Usage: bootstrap.py [--test]
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = str(VENV / "bin" / "python")
TORCH_FIRST = "torch=="
NEEDED = (3, 11)
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"


def main(arguments: list[str]) -> None:
    if sys.version_info < NEEDED:
        stop(
            f"Plumbline needs Python 3.11 or newer, and this is {VERSION}; name another one, as in "
            "`make demo PYTHON=python3.12`."
        )
    make_environment()
    install("lock.txt")
    if "--test" in arguments:
        install("test.txt")
    subprocess.call([PYTHON, str(ROOT / "gpu_ops" / "cpp" / "build.py")])


def stop(sentence: str) -> NoReturn:
    sys.exit(sentence)


def make_environment() -> None:
    if Path(PYTHON).exists() and succeeds([PYTHON, "-m", "pip", "--version"]):
        return
    say("Making .venv ...")
    shutil.rmtree(VENV, ignore_errors=True)
    attempts = [[sys.executable, "-m", "venv", str(VENV)]]
    if os.geteuid() == 0 and shutil.which("apt-get"):
        package = f"python{VERSION}-venv"
        attempts += [["apt-get", "update", "-q"], ["apt-get", "install", "-y", "-q", package], attempts[0]]
    for attempt in attempts:
        failed = run(attempt)
        if failed and is_disk_full(failed):
            stop("The disk under .venv is full; free some space and run the command again.")
        if succeeds([PYTHON, "-m", "pip", "--version"]):
            return
    shutil.rmtree(VENV, ignore_errors=True)
    stop(f"Python could not make a virtual environment; install its venv module: apt-get install python{VERSION}-venv")


def install(name: str) -> None:
    """Install requirements/NAME unless the stamp says that exactly this was installed by this Python."""
    path = ROOT / "requirements" / name
    pins = path.read_text()
    stamp = VENV / f".{name}.stamp"
    wanted = hashlib.sha256((pins + sys.version).encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    # Uncompiled: of 18,700 modules the whole test suite imports 7,400, and Python compiles those.
    pip = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "--no-compile", "--retries", "2"]
    say(f"Installing requirements/{name} (the first time this downloads much) ...")
    torch = [line.strip() for line in pins.splitlines() if line.startswith(TORCH_FIRST)]
    # Torch first and not quietly: it is most of the download.
    for what in [["-c", str(path), *torch]] * bool(torch) + [["--quiet", "-r", str(path)]]:
        failed = run(pip + what)
        if failed:
            stop(explained(failed))
    stamp.write_text(wanted)


def run(command: list[str]) -> str | None:
    """Run a command; returns None where it succeeded, else what it wrote to stderr."""
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment)
    said = process.communicate()[1].decode(errors="replace")
    return said + " " if process.returncode else None


def succeeds(command: list[str]) -> bool:
    try:
        return subprocess.call(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def explained(said: str) -> str:
    if is_disk_full(said):
        return "The disk is full: torch and its companions need up to 8 GB; free some space and run the command again."
    unreachable = (
        "Max retries",
        "onnection broken",
        "ConnectionError",
        "timed out",
        "resolve",
        "from versions: none",
    )
    if any(sign in said for sign in unreachable):
        return (
            "The package registry cannot be reached; check the network, or name a mirror in PIP_INDEX_URL, and run the "
            "command again: it goes on where it stopped."
        )
    return said + "\npip could not install the requirements; its words are above."


def is_disk_full(said: str) -> bool:
    return "No space left on device" in said or "Errno 28" in said


def say(text: str) -> None:
    print(text)
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
