"""The embedded PostgreSQL and Redis, for real: started, refused, killed, found again."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
import redis

from config import embedded
from config.embedded import EmbeddedError, Layout
from config.embedded.binaries import POSTGRES_PACKAGE
from config.embedded.layout import PROJECT, service_account
from config.embedded.postgres import _explained
from config.embedded.spawn import end, spawn
from tests.processes import eventually, processes_of

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="about handing the services to another account")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

HOLD = """
import sys, time
from pathlib import Path
from config import embedded
with embedded.services("dev", Path(sys.argv[1])) as running:
    print(running.database_url, flush=True)
    time.sleep(600)
"""
"""A process that runs the services until it is told or killed."""


@pytest.fixture
def parent() -> Iterator[Path]:
    """A directory that the unprivileged account can reach; pytest's own are closed to it."""
    path = Path(tempfile.mkdtemp(prefix="plumbline-parent-", dir="/tmp"))
    path.chmod(0o751)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def holder(parent: Path) -> Iterator[subprocess.Popen[str]]:
    """A separate process that runs the services below `parent`, ready."""
    command = [sys.executable, "-c", HOLD, str(parent / "services")]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("postgres://")
        yield process
        process.kill()
    assert eventually(lambda: not processes_of(parent))


def mode_and_owner(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_mode, found.st_uid, found.st_gid


@linux_only
def test_services_answer_and_end_with_the_block(parent: Path) -> None:
    with embedded.services("dev", parent / "services") as running:
        with psycopg.connect(running.database_url) as connection:
            shown = connection.execute(
                "SELECT current_database(), current_setting('fsync'), left(current_setting('server_version'), 3)"
            ).fetchone()
        assert shown == ("plumbline", "on", "18.")
        assert redis.Redis.from_url(running.redis_url).ping()
        assert len(processes_of(parent)) >= 2

    assert processes_of(parent) == []


def test_data_are_still_there_at_the_next_start(parent: Path) -> None:
    with embedded.services("dev", parent / "services") as running, psycopg.connect(running.database_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")

    with embedded.services("dev", parent / "services") as running, psycopg.connect(running.database_url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_services_are_closed_to_everybody_else(parent: Path) -> None:
    before = [mode_and_owner(path) for path in (Path("/"), Path("/tmp"), parent)]

    with embedded.services("dev", parent / "services") as running:
        layout = Layout.at(parent / "services")
        assert {stat.S_IMODE(path.stat().st_mode) for path in (layout.root, layout.sockets, layout.data)} == {0o700}
        assert stat.S_IMODE(layout.passfile.stat().st_mode) == 0o600
        with psycopg.connect(running.database_url) as connection:
            assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
            rules = connection.execute("SELECT DISTINCT auth_method FROM pg_hba_file_rules").fetchall()
        assert rules == [("scram-sha-256",)]
        assert redis.Redis.from_url(running.redis_url).config_get("port") == {"port": "0"}
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(f"postgres://plumbline@/plumbline?host={layout.sockets}&passfile=/dev/null")

    assert [mode_and_owner(path) for path in (Path("/"), Path("/tmp"), parent)] == before


@root_only
@linux_only
def test_root_hands_the_services_to_an_unprivileged_account(parent: Path) -> None:
    with embedded.services("test", parent / "services") as running:
        owners = set()
        for service in running.started:
            assert service.process is not None
            owners.add(Path(f"/proc/{service.process.pid}").stat().st_uid)

    assert len(owners) == 1
    assert 0 not in owners


@root_only
def test_services_run_for_somebody_who_is_not_root(parent: Path) -> None:
    os.chown(parent, 65534, 65534)
    script = HOLD.replace("time.sleep(600)", "import psycopg; print(psycopg.connect(running.database_url).info.user)")
    command = [*command_of_somebody_else(), "-c", script, str(parent / "services")]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": os.pathsep.join(sys.path)}

    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)

    assert done.stdout.splitlines()[1:] == ["plumbline"], done.stderr
    assert (parent / "services").stat().st_uid == 65534


def command_of_somebody_else() -> list[str]:
    """A command that starts Python as user 65534; this run's interpreter may lie in a directory only root can enter."""
    setpriv = shutil.which("setpriv") or pytest.skip("needs setpriv to become somebody else")
    installed = shutil.which(f"python3.{sys.version_info.minor}", path="/usr/bin:/usr/local/bin")
    starts_itself = "import subprocess, sys; subprocess.run([sys.executable, '-c', ''], check=True)"
    for python in filter(None, (sys.executable, installed)):
        command = [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", python]
        if subprocess.run([*command, "-c", starts_itself], capture_output=True, check=False).returncode == 0:
            return command
    pytest.skip("no Python of this version is open to other accounts")


@linux_only
def test_nothing_outlives_a_killed_supervisor_and_the_next_start_succeeds(
    parent: Path, holder: subprocess.Popen[str]
) -> None:
    assert len(processes_of(parent)) >= 3

    holder.kill()
    holder.wait()

    with embedded.services("dev", parent / "services") as running:
        psycopg.connect(running.database_url).close()
    assert eventually(lambda: processes_of(parent) == [])


def test_a_second_supervisor_is_refused(parent: Path, holder: subprocess.Popen[str]) -> None:
    with (
        pytest.raises(EmbeddedError, match=f"already running here \\(process {holder.pid}\\)") as refused,
        embedded.services("dev", parent / "services"),
    ):
        pass
    assert refused.value.code == "already_running"


@linux_only
def test_a_pid_file_that_names_a_stranger_does_not_stop_the_start(parent: Path) -> None:
    layout = Layout.at(parent / "services")
    with embedded.services("dev", layout.root):
        pid_file = (layout.data / "postmaster.pid").read_text()
    # Of the same account: PostgreSQL takes any such process for its predecessor.
    stranger = spawn(
        ["sleep", "600"], directory=Path("/"), death_signal=signal.SIGKILL, account=service_account(layout.root)
    )
    try:
        assert eventually(lambda: b"sleep" in Path(f"/proc/{stranger.pid}/cmdline").read_bytes())
        (layout.data / "postmaster.pid").write_text(f"{stranger.pid}\n{pid_file.split(chr(10), 1)[1]}")

        with embedded.services("dev", layout.root) as running:
            psycopg.connect(running.database_url).close()

        assert stranger.poll() is None
    finally:
        end(stranger, [])


def test_a_long_path_gets_its_sockets_elsewhere(parent: Path) -> None:
    layout = Layout.at(parent / ("long" * 30) / "services")
    layout.root.parent.mkdir()
    layout.root.parent.chmod(0o755)
    assert layout.sockets.parent == Path("/tmp")

    with embedded.services("test", layout.root) as running:
        psycopg.connect(running.database_url).close()
        assert stat.S_IMODE(layout.sockets.stat().st_mode) == 0o700

    assert not layout.sockets.exists()


def test_a_directory_open_to_others_is_refused_and_left_alone(parent: Path) -> None:
    (parent / "services").mkdir()
    (parent / "services").chmod(0o755)
    (parent / "services" / "mine").touch()

    with (
        pytest.raises(EmbeddedError, match="only its owner") as refused,
        embedded.services("test", parent / "services"),
    ):
        pass

    assert refused.value.code == "not_private"
    assert stat.S_IMODE((parent / "services").stat().st_mode) == 0o755
    assert (parent / "services" / "mine").exists()


@root_only
def test_programs_the_account_cannot_reach_are_brought_to_it(
    parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = find_spec(POSTGRES_PACKAGE)
    assert spec is not None
    assert spec.origin is not None
    installed = Path(spec.origin).parent
    closed = tmp_path / "root-only"
    closed.mkdir(mode=0o700)
    ignore = shutil.ignore_patterns("pginstall", "include", "__pycache__")
    shutil.copytree(installed, closed / installed.name, ignore=ignore, symlinks=True)
    shutil.copytree(installed.with_name(f"{installed.name}.libs"), closed / f"{installed.name}.libs")
    monkeypatch.syspath_prepend(closed)

    with embedded.services("test", parent / "services") as running:
        psycopg.connect(running.database_url).close()
        copies = [path.name for path in (parent / "services").iterdir() if path.name.startswith(POSTGRES_PACKAGE)]
        assert len(copies) == 1

    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@root_only
def test_a_full_disk_gets_one_sentence(parent: Path) -> None:
    small = parent / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m,mode=755", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine does not let us mount a small disk")
    try:
        with pytest.raises(EmbeddedError, match="is full; free some space") as refused:  # noqa: SIM117
            with embedded.services("dev", small / "services"):
                pass
        assert refused.value.code == "disk_full"
        assert not (small / "services" / "postgres18").exists()
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.parametrize(
    ("printed", "code"),
    [
        ('FATAL:  could not write lock file "postmaster.pid": No space left on device', "disk_full"),
        ("FATAL:  could not map anonymous shared memory: Cannot allocate memory", "no_memory"),
        ("FATAL:  database files are incompatible with server", "other_version"),
        ("LOG:  starting\nFATAL:  could not open file\nLOG:  shut down", "postgres_failed"),
        ("", "postgres_failed"),
    ],
)
def test_last_words_of_postgres_become_a_sentence(printed: str, code: str) -> None:
    error = _explained(printed, Layout.at(Path("/somewhere")))

    assert error.code == code
    assert "\n" not in str(error)


def test_asking_for_the_urls_creates_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUMBLINE_VAR", str(tmp_path / "var"))

    database_url, redis_url = embedded.urls()

    assert database_url.startswith("postgres://plumbline@/plumbline?host=/")
    assert redis_url.startswith("unix:///")
    assert not (tmp_path / "var").exists()
    assert not Layout.default().root.exists()


@pytest.mark.parametrize(
    ("url", "broker"),
    [
        ("unix:///run/redis.sock?db=3", "redis+socket:///run/redis.sock?virtual_host=3"),
        ("unix:///run/redis.sock", "redis+socket:///run/redis.sock?virtual_host=0"),
        ("rediss://cache.example:6380/1", "rediss://cache.example:6380/1"),
    ],
)
def test_celery_gets_its_own_spelling_of_a_unix_socket(url: str, broker: str) -> None:
    assert embedded.broker_url(url) == broker
