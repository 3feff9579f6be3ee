from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import gpu_ops
from gpu_ops import cpp, dispatch
from gpu_ops.cpp import build
from gpu_ops.tests.conftest import needs_cpp


@pytest.fixture(autouse=True)
def _fresh_choice() -> None:
    dispatch._choose.cache_clear()


@needs_cpp
def test_cpp_is_the_default_on_the_cpu_and_says_which_instructions_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GPU_OPS", raising=False)
    assert gpu_ops.path().name == "cpp"
    assert gpu_ops.path().reason in {
        f"default on the CPU, {name} instructions" for name in ("avx512", "avx2", "portable")
    }


def test_without_the_library_torch_takes_over_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GPU_OPS", raising=False)
    monkeypatch.setattr(cpp, "load", lambda: cpp.Library(False, "no C++ kernels built"))
    assert str(gpu_ops.path()) == "gpu_ops: torch path (no C++ kernels built)"


def test_the_reference_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPU_OPS", "reference")
    assert str(gpu_ops.path()) == "gpu_ops: reference path (GPU_OPS=reference)"


def test_unknown_path_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPU_OPS", "cuda")
    with pytest.raises(ValueError, match=r"GPU_OPS \('cuda'\) must be one of reference, torch, cpp, triton"):
        gpu_ops.path()


def test_a_path_that_cannot_run_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPU_OPS", "cpp")
    with pytest.raises(ValueError, match="GPU_OPS=cpp cannot run on cuda: the C"):
        gpu_ops.path("cuda")
    monkeypatch.setattr(cpp, "load", lambda: cpp.Library(False, "no C++ kernels built"))
    with pytest.raises(ValueError, match="GPU_OPS=cpp cannot run on cpu: no C"):
        gpu_ops.path()
    monkeypatch.setenv("GPU_OPS", "triton")
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    with pytest.raises(ValueError, match="GPU_OPS=triton cannot run on cpu: triton needs a GPU"):
        gpu_ops.path()


def test_float64_always_takes_the_kernels_that_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPU_OPS", "triton")
    names = [dispatch.row_kernels(torch.device("cpu"), dtype).__name__ for dtype in (torch.float32, torch.float64)]  # type: ignore[attr-defined]
    assert names == ["gpu_ops.rows.triton_rows", "gpu_ops.rows.torch_rows"]


def test_the_choice_is_logged_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("GPU_OPS", "torch")
    with caplog.at_level(logging.INFO, logger="gpu_ops"):
        gpu_ops.path()
        gpu_ops.path()
    assert [record.getMessage() for record in caplog.records] == ["gpu_ops: torch path (GPU_OPS=torch)"]


def test_a_missing_or_failing_compiler_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(build, "BUILT", tmp_path)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(build.BuildFailed, match=r"no C\+\+ compiler \(no-such-compiler in CXX\)"):
        build.build()
    broken = tmp_path / "c++"
    broken.write_text("#!/bin/sh\necho 'rows.cpp:1: error: no such language' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    with pytest.raises(build.BuildFailed, match=r"c\+\+ failed: rows.cpp:1: error: no such language"):
        build.build()
    assert [path.name for path in tmp_path.iterdir()] == ["c++"]


@needs_cpp
def test_building_again_does_nothing() -> None:
    before = build.library().stat().st_mtime_ns
    done = subprocess.run([sys.executable, build.__file__], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert build.library().stat().st_mtime_ns == before
