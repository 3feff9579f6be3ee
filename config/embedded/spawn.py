"""Starting and ending child processes that never outlive us."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

from config.embedded.layout import Account

CHILD = Path(__file__).with_name("child.py")


def spawn(
    command: Sequence[str | Path],
    *,
    directory: Path,
    death_signal: signal.Signals,
    account: Account | None = None,
    output: int | IO[bytes] | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` in a process group of its own, as `account` where given.

    The kernel sends it `death_signal` when the *thread* that called this ends, however it ends: call it from the main
    thread. stdout and stderr go to `output`.
    """
    uid, gid = (-1, -1) if account is None else (account.uid, account.gid)
    # -I -S: the child needs nothing but the standard library and starts in a few milliseconds.
    stub = [sys.executable, "-I", "-S", CHILD, os.getpid(), int(death_signal), uid, gid, directory]
    program = shutil.which(command[0]) or command[0]
    return subprocess.Popen(
        [str(word) for word in (*stub, program, *command[1:])],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output is not None else None,
        env=dict(environment) if environment is not None else None,
        start_new_session=True,
    )


def run(command: Sequence[str | Path], *, directory: Path, account: Account | None) -> tuple[int, str]:
    """Run `command` to its end as `account`; returns its exit code and what it printed."""
    process = spawn(command, directory=directory, death_signal=signal.SIGKILL, account=account, output=subprocess.PIPE)
    try:
        printed, _ = process.communicate()
    except BaseException:
        end(process, [(signal.SIGKILL, 5.0)])
        raise
    return process.returncode, printed.decode(errors="replace")


def end(process: subprocess.Popen[bytes], signals: Iterable[tuple[signal.Signals, float]]) -> None:
    """End a child: each signal in turn with the seconds it is given, and then SIGKILL to its whole group."""
    for number, seconds in signals:
        if process.poll() is not None:
            break
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    # Also after a clean end: a helper of the program that ignored its parent's end must not stay behind.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def open_log(path: Path, *, keep_bytes: int = 4_000_000) -> IO[bytes]:
    """Open a log for appending; one that grew past `keep_bytes` begins anew. Links are refused: root may be writing."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    if os.fstat(descriptor).st_size > keep_bytes:
        os.ftruncate(descriptor, 0)
    return os.fdopen(descriptor, "ab", buffering=0)
