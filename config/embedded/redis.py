"""A private Redis: one unix socket in a private directory, no TCP, nothing on disk (the database is the truth)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field

from config.embedded import binaries
from config.embedded.errors import EmbeddedError
from config.embedded.layout import Account, Layout
from config.embedded.spawn import end, open_log, spawn

READY_SECONDS = 20
STOP = [(signal.SIGTERM, 10.0)]


@dataclass(slots=True)
class Redis:
    """The server of one layout; `start` and `stop` are called by the one who holds the layout's lock."""

    layout: Layout
    account: Account | None
    profile: str = "dev"
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    name = "redis"

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            EmbeddedError: it does not start; the message says why.
        """
        program = binaries.redis(self.layout, self.account)
        self.layout.redis_socket.unlink(missing_ok=True)
        options = {
            "port": "0",
            "unixsocket": str(self.layout.redis_socket),
            "unixsocketperm": "700",
            "dir": str(self.layout.root),
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
        }
        command = [str(program), *(word for name, value in options.items() for word in (f"--{name}", value))]
        with open_log(self.layout.redis_log) as log:
            beginning = log.seek(0, os.SEEK_END)
            self.process = spawn(
                command,
                directory=self.layout.root,
                death_signal=signal.SIGTERM,
                account=self.account,
                output=log,
            )
        self._wait_until_ready(beginning)

    def stop(self) -> None:
        if self.process is not None:
            end(self.process, STOP)

    def _wait_until_ready(self, log_beginning: int) -> None:
        assert self.process is not None
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            if self._answers():
                return
            time.sleep(0.02)
        with self.layout.redis_log.open("rb") as log:
            log.seek(log_beginning)
            said = log.read().decode(errors="replace").strip().splitlines()
        raise EmbeddedError(
            f"Redis did not start: {said[-1] if said else 'it said nothing'} (more in {self.layout.redis_log}).",
            code="redis_failed",
        )

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(1.0)
                connection.connect(str(self.layout.redis_socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False
