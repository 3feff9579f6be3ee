from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from gpu_ops import cpp, projection
from gpu_ops.tests.cases import CHUNK

needs_cpp = pytest.mark.skipif(not cpp.load().usable, reason=cpp.load().detail)
CHUNKED = ["torch", pytest.param("cpp", marks=needs_cpp), "triton"]


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _small_chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "real_chunks" not in request.fixturenames:
        monkeypatch.setattr(projection, "CPU_CHUNK_ROWS", CHUNK)


@pytest.fixture(params=["torch", pytest.param("cpp", marks=needs_cpp)])
def real_chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Chunks of the size that training uses, on the paths that training uses on a CPU."""
    monkeypatch.setenv("GPU_OPS", request.param)
    return str(request.param)


@pytest.fixture(params=["reference", *CHUNKED])
def each_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("GPU_OPS", request.param)
    return str(request.param)


@pytest.fixture(params=CHUNKED)
def chunked_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The paths that never hold [T, V]; the Triton kernels run in Triton's interpreter."""
    monkeypatch.setenv("GPU_OPS", request.param)
    return str(request.param)
