"""`manage.py up` and its supervisor, with real programs: order, restarts, signals, and nothing left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.embedded import EmbeddedError
from config.embedded.layout import PROJECT
from config.embedded.ports import require_free
from config.embedded.supervisor import Program, Supervisor
from tests.processes import eventually, layout_of, processes_of

PROGRAM = """
import os, signal, sys, time
directory, name = sys.argv[1:]
def say(word):
    with open(os.path.join(directory, "said"), "a") as said:
        said.write(f"{name} {word}\\n")
def end(number, frame):
    say("ended")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
say("began")
time.sleep(600)
"""
"""Writes down when it began and when it was asked to end."""

SUPERVISE = """
import signal, sys
from pathlib import Path
from config.embedded.supervisor import Program, Supervisor
program, directory = sys.argv[1:]
signal.signal(signal.SIGQUIT, signal.SIG_IGN)  # as a shell does for its background jobs
supervisor = Supervisor()
supervisor.start(Program(name="one", command=[sys.executable, "-c", program, directory, "one"]))
supervisor.tend(600)
"""


def program(name: str, directory: Path, *, source: str = PROGRAM) -> Program:
    return Program(
        name=name,
        command=[sys.executable, "-c", source, str(directory), name],
        stop=((signal.SIGTERM, 5.0),),
    )


def said(directory: Path) -> list[str]:
    path = directory / "said"
    return path.read_text().splitlines() if path.exists() else []


def test_programs_end_group_by_group(tmp_path: Path) -> None:
    supervisor = Supervisor(logs=tmp_path)
    names = ["needed", "worker", "web"]
    for name in names:
        supervisor.start(program(name, tmp_path))
    assert supervisor.tend(20, until=lambda: len(said(tmp_path)) == 3)

    supervisor.stop([["web"], ["worker"]])

    assert said(tmp_path)[3:] == ["web ended", "worker ended", "needed ended"]
    assert processes_of(tmp_path) == []


def test_a_program_that_falls_is_started_again(tmp_path: Path) -> None:
    supervisor = Supervisor(logs=tmp_path)
    supervisor.start(program("worker", tmp_path))
    assert supervisor.tend(20, until=lambda: said(tmp_path) == ["worker began"])
    try:
        os.kill(supervisor.pid("worker"), signal.SIGKILL)

        assert supervisor.tend(20, until=lambda: said(tmp_path) == ["worker began"] * 2)
    finally:
        supervisor.stop([])


def test_a_program_that_keeps_falling_is_given_up(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    supervisor = Supervisor()
    supervisor.start(program("web", tmp_path, source="print('cannot find my configuration'); raise SystemExit(3)"))

    with pytest.raises(EmbeddedError, match=r"web ended 6 times within a minute \(the last time with 3\)"):
        supervisor.tend(60)

    assert capfd.readouterr().out.count("cannot find my configuration") == 6


def test_a_program_deaf_to_signals_is_killed_with_its_children(tmp_path: Path) -> None:
    deaf = """
import os, signal, sys, time
os.fork()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(os.path.join(sys.argv[1], f"deaf-{os.getpid()}"), "w").close()
time.sleep(600)
"""
    supervisor = Supervisor(logs=tmp_path)
    supervisor.start(program("deaf", tmp_path, source=deaf))
    assert supervisor.tend(20, until=lambda: len(list(tmp_path.glob("deaf-*"))) == 2)
    supervisor.hurry = True

    supervisor.stop([["deaf"]])

    assert eventually(lambda: processes_of(tmp_path) == [])


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's own")
def test_programs_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SUPERVISE, PROGRAM, str(tmp_path)]
    with subprocess.Popen(command, cwd=PROJECT) as supervisor:
        assert eventually(lambda: said(tmp_path) == ["one began"])
        assert len(processes_of(tmp_path)) == 2

        supervisor.kill()

    assert eventually(lambda: processes_of(tmp_path) == [])


def test_a_failed_step_is_named(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match=f"Migrate failed; its words are in {tmp_path}/migrate.log"):
        Supervisor(logs=tmp_path).run(program("migrate", tmp_path, source="raise SystemExit('no such table')"))

    assert (tmp_path / "migrate.log").read_text() == "no such table\n"


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(EmbeddedError, match="choose others with --host and --port") as refused:
        require_free("192.0.2.1", 8000)
    assert refused.value.code == "address_refused"


def up(environment: dict[str, str], *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", "up", *options],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_up_on_a_port_in_use_says_so_in_one_sentence(taken_port: int, site_environment: dict[str, str]) -> None:
    with up(site_environment, "--port", str(taken_port)) as process:
        printed, _ = process.communicate(timeout=60)

    assert process.returncode == 1
    assert printed.strip() == (
        f"CommandError: Port {taken_port} on 127.0.0.1 is in use; end what uses it, or choose another, "
        f"as with --port {taken_port + 1}."
    )
    assert not layout_of(Path(site_environment["PLUMBLINE_VAR"])).root.exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_whole_site_comes_up_and_goes_without_a_trace(
    number: signal.Signals, site_environment: dict[str, str], taken_port: int
) -> None:
    layout = layout_of(Path(site_environment["PLUMBLINE_VAR"]))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    with up(site_environment, "--port", str(port)) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "is ready at" in line:
                break
        assert f"http://127.0.0.1:{port}/" in lines[-1], "".join(lines)
        children = descendants(process.pid)
        assert len(children) >= 8  # postgres, redis, web and two, two workers and a pool, beat

        process.send_signal(number)
        process.communicate(timeout=90)

    assert process.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 0)
    assert eventually(lambda: not alive(children)), alive(children)
    assert eventually(lambda: processes_of(layout.root) == [])


def alive(pids: list[int]) -> list[str]:
    """Command lines of those that still run."""
    found = (read_or_empty(Path(f"/proc/{pid}/cmdline")) for pid in pids)
    return [command.replace("\0", " ") for command in found if command]


def descendants(pid: int) -> list[int]:
    children = read_or_empty(Path(f"/proc/{pid}/task/{pid}/children")).split()
    return [found for child in map(int, children) for found in (child, *descendants(child))]


def read_or_empty(path: Path) -> str:
    """What a file under /proc holds; empty for a process that ended meanwhile."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
