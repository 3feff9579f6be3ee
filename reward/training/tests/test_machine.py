"""What a machine can hold and how fast it is, as its worker tells it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from reward.training import machine
from reward.training.speed import Speed


@pytest.fixture
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(machine.MEMORY_VARIABLE, raising=False)
    monkeypatch.setattr(machine, "group_limit", lambda _files=(): machine.UNLIMITED)


def group(tmp_path: Path, lines: str, read: tuple[str, str] = machine.MEMORY_FILES, **files: str) -> int:
    own = tmp_path / "cgroup"
    own.write_text(lines)
    for name, text in files.items():
        path = tmp_path / "fs" / name.replace("__", "/").replace("_", ".").replace(".limit", ".limit_in_bytes")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return machine.group_limit(read, tmp_path / "fs", own)


def test_the_least_limit_on_the_way_up_counts(tmp_path: Path) -> None:
    limit = group(tmp_path, "0::/a/b\n", a__b__memory_max="max\n", a__memory_max="3000\n", memory_max="9000\n")

    assert limit == 3000


def test_a_container_sees_its_own_group_at_the_root(tmp_path: Path) -> None:
    assert group(tmp_path, "0::/elsewhere/c\n", memory_max="5000\n") == 5000


def test_the_first_version_of_control_groups_is_read_too(tmp_path: Path) -> None:
    lines = "5:cpu,cpuacct:/x\n4:memory:/x\n"

    assert group(tmp_path, lines, memory__x__memory_limit="7000\n", memory__memory_limit=f"{2**63 - 4096}\n") == 7000


def test_no_limit_is_no_limit(tmp_path: Path) -> None:
    assert group(tmp_path, "0::/\n", memory_max="max\n") == machine.UNLIMITED
    assert machine.group_limit(root=tmp_path, own=tmp_path / "missing") == machine.UNLIMITED


def test_a_group_says_how_much_of_the_disk_it_may_use(tmp_path: Path) -> None:
    files = {"memory_max": "9000\n", "a__memory_swap_max": "0\n", "b__memory_swap_max": "max\n"}

    assert group(tmp_path, "0::/a\n", machine.SWAP_FILES, **files) == 0
    assert group(tmp_path, "0::/b\n", machine.SWAP_FILES, **files) == machine.UNLIMITED
    assert group(tmp_path, "4:memory:/\n", machine.SWAP_FILES, memory__memory_memsw_limit="7000\n") == 7000


def test_memory_is_what_the_system_or_the_group_or_the_operator_says(
    unlimited: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert machine.total_memory() == psutil.virtual_memory().total
    assert machine.swap_memory() == psutil.swap_memory().total

    swap = type("Swap", (), {"total": 9000})
    monkeypatch.setattr(psutil, "swap_memory", lambda: swap)
    limits = {machine.MEMORY_FILES: 4096, machine.SWAP_FILES: 2048}
    monkeypatch.setattr(machine, "group_limit", lambda files=machine.MEMORY_FILES: limits[files])
    assert (machine.total_memory(), machine.swap_memory()) == (4096, 2048)
    # A group that limits memory alone may use all of the disk.
    limits[machine.SWAP_FILES] = machine.UNLIMITED
    assert (machine.total_memory(), machine.swap_memory()) == (4096, 9000)

    monkeypatch.setenv(machine.MEMORY_VARIABLE, "3")
    assert (machine.total_memory(), machine.swap_memory()) == (3 * 2**20, 0)


@pytest.mark.parametrize("nonsense", ["", "0", "much", "-3"])
def test_a_statement_that_is_none_is_passed_over(
    unlimited: None, monkeypatch: pytest.MonkeyPatch, nonsense: str
) -> None:
    monkeypatch.setenv(machine.MEMORY_VARIABLE, nonsense)

    monkeypatch.setattr(psutil, "swap_memory", lambda: type("Swap", (), {"total": 9000}))

    assert (machine.total_memory(), machine.swap_memory()) == (psutil.virtual_memory().total, 9000)


def test_the_program_tells_memory_and_speeds_that_an_estimate_can_read(tmp_path: Path) -> None:
    out = tmp_path / "machine.json"
    # The decoders of a real measurement take seconds.
    program = (
        "import json, sys; from pathlib import Path; from reward.training import machine;"
        "machine.DECODERS = ((64, 96, 2), (128, 192, 1)); given = json.loads(sys.argv[1]);"
        "machine.replace_json(Path(given['out']), machine.measure(given['device'], given['threads']))"
    )
    asked = json.dumps({"out": str(out), "device": "cpu", "threads": 1})

    subprocess.run([sys.executable, "-c", program, asked], check=True, capture_output=True)

    told = json.loads(out.read_text())
    assert (told["device"], told["threads"]) == ("cpu", 1)
    assert told["memory_bytes"] == machine.total_memory()
    assert set(Speed.read(told["speeds"]["float32"]).points) == set(machine.ROWS)
    assert ("bfloat16" in told["speeds"]) == told["has_bfloat16"]
    known = [told[name] for name in ("device", "name", "cores", "threads")]
    assert machine.measure("cpu", 1, known) == {
        name: value for name, value in told.items() if name not in ("speeds", "has_bfloat16")
    }
