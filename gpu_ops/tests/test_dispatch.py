from __future__ import annotations

import logging

import pytest

import gpu_ops
from gpu_ops import dispatch


def test_torch_is_the_default_and_the_reference_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GPU_OPS", raising=False)
    assert gpu_ops.path().name == "torch"
    monkeypatch.setenv("GPU_OPS", "reference")
    assert str(gpu_ops.path()) == "gpu_ops: reference path (GPU_OPS=reference)"


def test_unknown_path_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPU_OPS", "cuda")
    with pytest.raises(ValueError, match=r"GPU_OPS \('cuda'\) must be one of reference, torch"):
        gpu_ops.path()


def test_the_choice_is_logged_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("GPU_OPS", "torch")
    dispatch._choose.cache_clear()
    with caplog.at_level(logging.INFO, logger="gpu_ops"):
        gpu_ops.path()
        gpu_ops.path()
    assert [record.getMessage() for record in caplog.records] == ["gpu_ops: torch path (GPU_OPS=torch)"]
