"""A process's output on its way to log.txt, with secrets blotted out."""

from __future__ import annotations

import os
import re
import select
from collections.abc import Iterable
from pathlib import Path

from runs.events import clean

READ_BYTES = 64 * 1024
MAX_LINE_BYTES = 16 * 1024
MAX_LOG_BYTES = 64 * 1024 * 1024
MIN_SECRET_LENGTH = 6
BLOT = b"[redacted]"

_SECRET_NAME = re.compile(
    r"SECRET|TOKEN(?!IZ)|PASSWORD|PASSWD|PASSFILE|CREDENTIAL|API_?KEY|ACCESS_KEY|_URL$|_DSN$", re.IGNORECASE
)
_SECRET_SHAPES = re.compile(
    rb"(?<=://)[^\s/@:]*:[^\s/@]+(?=@)"  # user:password in a URL
    rb"|\bhf_[A-Za-z0-9]{16,}|\bsk-[A-Za-z0-9_-]{16,}|\bgh[pousr]_[A-Za-z0-9]{16,}|\bAKIA[A-Z0-9]{16}"
    rb"|(?i:(?<=bearer )[\w.~+/-]{12,}=*)"
)


class Redactor:
    """Replaces known secrets and what looks like one."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # The longest first: a secret may contain another.
        known = sorted({s.encode() for s in secrets if len(s) >= MIN_SECRET_LENGTH}, key=len, reverse=True)
        self._known = re.compile(b"|".join(map(re.escape, known))) if known else None

    @classmethod
    def of_this_process(cls, *extra: str) -> Redactor:
        """Knows the values of this process's environment that are named like secrets."""
        return cls([*(value for name, value in os.environ.items() if _SECRET_NAME.search(name)), *extra])

    def __call__(self, data: bytes) -> bytes:
        if self._known is not None:
            data = self._known.sub(BLOT, data)
        return _SECRET_SHAPES.sub(BLOT, data)


class LogPump:
    """Copies a pipe to log.txt line by line, so that a secret is never split between two writes."""

    def __init__(self, *, pipe: int, path: Path, redact: Redactor) -> None:
        os.set_blocking(pipe, False)
        self._pipe = pipe
        self._file = path.open("ab", buffering=0)
        path.chmod(0o600)
        self._room = MAX_LOG_BYTES - path.stat().st_size
        self._redact = redact
        self._rest = b""
        self._is_open = True

    def pump(self, seconds: float) -> None:
        """Wait up to `seconds` for output and copy what is there."""
        if not self._is_open:
            select.select([], [], [], seconds)
        elif select.select([self._pipe], [], [], seconds)[0]:
            self.drain()

    def drain(self) -> None:
        """Copy what is in the pipe now."""
        while self._is_open:
            try:
                data = os.read(self._pipe, READ_BYTES)
            except BlockingIOError:
                return
            self._is_open = bool(data)
            self._take(data)

    def close(self) -> None:
        self.drain()
        self._write(self._rest)
        self._file.close()

    def _take(self, data: bytes) -> None:
        # A progress bar ends its lines with a carriage return.
        data = self._rest + data
        whole = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        if not whole and len(data) > MAX_LINE_BYTES:
            whole = len(data)
        self._write(data[:whole])
        self._rest = data[whole:]

    def _write(self, data: bytes) -> None:
        if not data or self._room <= 0:
            return
        data = self._redact(data)
        self._room -= len(data)
        self._file.write(data if self._room > 0 else b"\n[the log is full; what follows was dropped]\n")


def tail(path: Path, max_bytes: int) -> str:
    """The last whole lines of a log, at most `max_bytes` of them; what a carriage return overwrote is left out."""
    try:
        with path.open("rb") as handle:
            size = handle.seek(0, os.SEEK_END)
            start = max(0, size - max_bytes)
            handle.seek(start)
            data = handle.read(max_bytes)
    except FileNotFoundError:
        return ""
    if start:
        data = data.partition(b"\n")[2]
    lines = (line.rstrip(b"\r").rpartition(b"\r")[2] for line in data.split(b"\n"))
    return clean(b"\n".join(lines).decode("utf-8", "replace"))
