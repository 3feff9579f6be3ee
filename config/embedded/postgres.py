"""A private PostgreSQL 18: its own cluster, scram password, one unix socket, no TCP, a foreground child of ours."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from config.embedded import binaries
from config.embedded.errors import EmbeddedError, disk_full
from config.embedded.layout import POSTGRES_PORT, Account, Layout
from config.embedded.spawn import end, open_log, run, spawn

USER = "plumbline"
READY_SECONDS = 120
"""Recovery after a power cut replays the log first."""
ORPHAN_SECONDS = 30
STOP = [(signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0)]
"""Fast shutdown (sessions are ended, data flushed), then immediate (recovery at the next start)."""

SETTINGS = {
    "listen_addresses": "",
    "port": str(POSTGRES_PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    # Containers often give /dev/shm 64 MB, which one parallel query exceeds; two cores gain little from it.
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "log_min_messages": "warning",
    "timezone": "UTC",
}
TEST_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "io_method": "sync",
}
"""Profile `test` only: a crash may lose everything, and nobody minds."""


@dataclass(slots=True)
class Postgres:
    """The server of one layout; `start` and `stop` are called by the one who holds the layout's lock."""

    layout: Layout
    account: Account | None
    profile: str = "dev"
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    name = "postgres"

    def start(self) -> None:
        """Start the server and wait until it takes connections.

        Also: creates the cluster, the password and the database `plumbline` where they are missing.

        Raises:
            EmbeddedError: it does not start; the message says why.
        """
        bin_directory = binaries.postgres(self.layout, self.account)
        if not (self.layout.data / "PG_VERSION").exists():
            self._create_cluster(bin_directory)
        clear_stale_lock(self.layout)
        settings = {**SETTINGS, **(TEST_SETTINGS if self.profile == "test" else {})}
        settings["unix_socket_directories"] = str(self.layout.sockets)
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with open_log(self.layout.postgres_log) as log:
            beginning = log.seek(0, os.SEEK_END)
            self.process = spawn(
                [bin_directory / "postgres", "-D", self.layout.data, *options],
                directory=self.layout.root,
                death_signal=signal.SIGINT,
                account=self.account,
                output=log,
            )
        self._wait_until_ready(beginning)
        self._create_database()

    def stop(self) -> None:
        if self.process is not None:
            end(self.process, STOP)

    def _create_cluster(self, bin_directory: Path) -> None:
        """initdb into a directory that gets its name only when it is whole."""
        unfinished = self.layout.root / "postgres18.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.rmtree(self.layout.data, ignore_errors=True)  # without PG_VERSION: never a cluster
        password = secrets.token_urlsafe(32)
        secret = self.layout.root / "password"
        try:
            _write_private(secret, password, self.account)
            _write_private(self.layout.passfile, f"*:*:*:{USER}:{password}\n", self.account)
            command: list[str | Path] = [
                bin_directory / "initdb",
                "-D",
                unfinished,
                f"--username={USER}",
                f"--pwfile={secret}",
            ]
            command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions"]
            command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
            command += ["--no-sync"] if self.profile == "test" else []
            code, printed = run(command, directory=self.layout.root, account=self.account)
            if code != 0:
                raise _explained(printed, self.layout)
            unfinished.rename(self.layout.data)
        finally:
            secret.unlink(missing_ok=True)

    def _wait_until_ready(self, log_beginning: int) -> None:
        assert self.process is not None
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise _explained(self._log_since(log_beginning), self.layout)
            try:
                psycopg.connect(self.layout.database_url("postgres"), connect_timeout=5).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        raise EmbeddedError(
            f"PostgreSQL did not become ready within {READY_SECONDS} seconds; see {self.layout.postgres_log}.",
            code="not_ready",
        )

    def _create_database(self) -> None:
        with psycopg.connect(self.layout.database_url("postgres"), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'plumbline'").fetchone():
                connection.execute("CREATE DATABASE plumbline")

    def _log_since(self, beginning: int) -> str:
        with self.layout.postgres_log.open("rb") as log:
            log.seek(beginning)
            return log.read().decode(errors="replace")


def clear_stale_lock(layout: Layout) -> None:
    """Remove the pid file of a server that is gone, also where its number was given to another process since.

    PostgreSQL itself refuses to start while *any* process of its user has that number. We hold the layout's lock, so a
    server that still runs on this cluster is an orphan on its way out: it is told to end and waited for.

    Raises:
        EmbeddedError: it does not end.
    """
    deadline = time.monotonic() + ORPHAN_SECONDS
    while (pid := _running_on(layout.data)) is not None:
        if time.monotonic() > deadline:
            raise EmbeddedError(
                f"A PostgreSQL server of an earlier start (process {pid}) does not end; end it and try again.",
                code="orphan",
            )
        os.kill(pid, signal.SIGINT)
        time.sleep(0.2)
    (layout.data / "postmaster.pid").unlink(missing_ok=True)
    for name in (f".s.PGSQL.{POSTGRES_PORT}", f".s.PGSQL.{POSTGRES_PORT}.lock"):
        (layout.sockets / name).unlink(missing_ok=True)


def _running_on(data: Path) -> int | None:
    """The process named in postmaster.pid, if it is alive and works in this cluster (a server's cwd is its cluster)."""
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
        os.kill(pid, 0)
        working_directory = Path(f"/proc/{pid}/cwd")
        return pid if not Path("/proc/self").exists() or working_directory.resolve() == data.resolve() else None
    except (FileNotFoundError, ProcessLookupError, PermissionError, ValueError):
        return None


def _write_private(path: Path, text: str, account: Account | None) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as handle:
        handle.write(text)
        if account is not None:
            os.fchown(handle.fileno(), account.uid, account.gid)


def _explained(printed: str, layout: Layout) -> EmbeddedError:
    """A sentence for what PostgreSQL said on its way out."""
    if "No space left on device" in printed:
        return disk_full(layout.root)
    if "Cannot allocate memory" in printed or "could not map anonymous shared memory" in printed:
        return EmbeddedError("PostgreSQL found too little free memory; end something and try again.", code="no_memory")
    if "incompatible with server" in printed:
        return EmbeddedError(
            f"The data in {layout.data} are of another PostgreSQL version; export them with that version, then move "
            "the directory away.",
            code="other_version",
        )
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    serious = [line for line in lines if "FATAL" in line or "error:" in line or "PANIC" in line] or lines[-1:]
    said = serious[0] if serious else "nothing"
    return EmbeddedError(f"PostgreSQL did not start: {said} (more in {layout.postgres_log}).", code="postgres_failed")
