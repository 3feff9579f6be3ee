"""What "auto" means on a machine, and that the run says so."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reward.training import precision
from reward.training.job import train_reward_model
from reward.training.rundir import RunDirectory
from reward.training.tests.conftest import read_events

CPUINFO = Path("/proc/cpuinfo")


@pytest.mark.skipif(sys.platform != "linux" or "flags" not in CPUINFO.read_text(), reason="needs x86 on Linux")
def test_the_processor_is_asked() -> None:
    line = next(line for line in CPUINFO.read_text().splitlines() if line.startswith("flags"))
    flags = line.split()
    assert precision.multiplies_bfloat16("cpu") == ("avx512_bf16" in flags or "amx_tile" in flags)


@pytest.mark.parametrize(
    ("fast", "choice", "expected", "note"),
    [
        (True, "auto", True, "precision_chosen"),
        (False, "auto", False, "precision_chosen"),
        (True, "bfloat16", True, None),
        (False, "bfloat16-autocast", True, "bfloat16_is_slow"),
        (True, "float32", False, None),
        (False, "float32", False, None),
    ],
)
def test_what_a_choice_means_and_what_is_said(
    make_run: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    fast: bool,
    choice: str,
    expected: bool,
    note: str | None,
) -> None:
    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda device: fast)
    path = make_run()
    run = RunDirectory.open(path)
    assert precision.use_bfloat16(run, "weights", choice) is expected
    run.close()
    notes = [event for event in read_events(path) if event["type"] == "note"]
    assert [event["code"] for event in notes] == ([note] if note else [])
    assert all("weights is" in event["message"] for event in notes)


@pytest.mark.parametrize("fast", [False, True])
def test_auto_trains_in_what_the_device_multiplies(
    make_run: Callable[..., Path], tiny: Path, groups_file: Path, monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda device: fast)
    losses = {}
    for choice in ("auto", "float32", "bfloat16-autocast"):
        path = make_run(choice, inputs={"base": tiny, "groups": groups_file}, precision=choice)
        run = RunDirectory.open(path)
        train_reward_model(run)
        run.close()
        losses[choice] = [event["metrics"]["loss"] for event in read_events(path) if event["type"] == "metrics"]
    assert losses["float32"] != losses["bfloat16-autocast"]
    assert losses["auto"] == losses["bfloat16-autocast" if fast else "float32"]
