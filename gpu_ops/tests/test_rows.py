"""The row kernels by themselves: vocabularies around every block edge, each instruction set, spoiled logits."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from _pytest.mark.structures import ParameterSet
from torch import Tensor

from gpu_ops import cpp
from gpu_ops.rows import Measured, Softmax, Upstream, cpp_rows, torch_rows, triton_rows
from gpu_ops.tests.conftest import needs_cpp

CPP_BLOCK, TRITON_BLOCK = 2048, triton_rows.BLOCK
VOCABULARIES = [
    1,
    2,
    15,
    17,
    63,
    64,
    65,
    CPP_BLOCK - 1,
    CPP_BLOCK,
    CPP_BLOCK + 1,
    TRITON_BLOCK + 1,
    2 * TRITON_BLOCK + 7,
]
CAPS = [Softmax(1.0, None), Softmax(0.7, 3.0)]


def instruction_sets() -> list[str]:
    best = cpp.load().detail
    return {"avx512": ["avx512", "avx2", "portable"], "avx2": ["avx2", "portable"]}.get(best, ["portable"])


def kernels() -> list[ParameterSet]:
    found = [pytest.param((torch_rows, ""), id="torch"), pytest.param((triton_rows, ""), id="triton")]
    if cpp.load().usable:
        found += [pytest.param((cpp_rows, name), id=name) for name in instruction_sets()]
    return found


@pytest.fixture
def rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module, instructions = request.param
    monkeypatch.setattr(cpp_rows, "INSTRUCTIONS", instructions)
    return module  # type: ignore[no-any-return]


each_kernel = pytest.mark.parametrize("rows", kernels(), indirect=True)


def exact(logits: Tensor, ids: Tensor, softmax: Softmax) -> tuple[Tensor, Tensor, Tensor]:
    """logp, entropy and lse by PyTorch's own functions."""
    a = logits
    if softmax.softcap is not None:
        a = softmax.softcap * torch.tanh(a / softmax.softcap)
    log_p = torch.log_softmax(a / softmax.temperature, -1)
    entropy = -(log_p.exp() * log_p).sum(-1)
    return log_p.gather(1, ids[:, None]).squeeze(1), entropy, torch.logsumexp(a / softmax.temperature, -1)


@each_kernel
@pytest.mark.parametrize("vocabulary", VOCABULARIES)
@pytest.mark.parametrize("softmax", CAPS, ids=["plain", "capped"])
def test_values_and_gradient_agree_with_autograd_in_float64(
    rows: ModuleType, vocabulary: int, softmax: Softmax
) -> None:
    random = torch.Generator().manual_seed(vocabulary)
    logits = 3 * torch.randn(3, vocabulary, generator=random)
    ids = torch.tensor([0, vocabulary - 1, vocabulary // 2])
    upstream = [torch.randn(3, generator=random) for _ in range(3)]
    wide = logits.double().requires_grad_()
    outputs = exact(wide, ids, softmax)
    (expected,) = torch.autograd.grad(outputs, wide, [value.double() for value in upstream])
    measured = rows.measure(logits.clone(), ids, softmax)
    found = (measured.logp, measured.entropy, measured.peak + measured.log_sum)
    for got, wanted in zip(found, outputs, strict=True):
        torch.testing.assert_close(got.double(), wanted.detach(), rtol=2e-6, atol=2e-6)
    grad = rows.gradient(logits.clone(), ids, softmax, measured, Upstream(*upstream), torch.float32)
    torch.testing.assert_close(grad.double(), expected, rtol=1e-5, atol=2e-6)


@each_kernel
def test_every_upstream_may_be_missing(rows: ModuleType) -> None:
    logits, ids = torch.randn(2, 70), torch.tensor([3, 69])
    measured = rows.measure(logits.clone(), ids, CAPS[0])
    ones, parts = torch.ones(2), []
    for upstream in (Upstream(ones, None, None), Upstream(None, ones, None), Upstream(None, None, ones)):
        parts.append(rows.gradient(logits.clone(), ids, CAPS[0], measured, upstream, torch.float32).clone())
    whole = rows.gradient(logits.clone(), ids, CAPS[0], measured, Upstream(ones, ones, ones), torch.float32)
    torch.testing.assert_close(sum(parts), whole, rtol=0, atol=1e-6)
    torch.testing.assert_close(parts[2], torch.softmax(logits, -1), rtol=1e-5, atol=1e-7)


@each_kernel
@pytest.mark.parametrize("spoiled", [float("nan"), float("inf")])
@pytest.mark.parametrize("place", [0, 63, 69])
def test_a_spoiled_logit_is_never_hidden(rows: ModuleType, spoiled: float, place: int) -> None:
    logits = torch.randn(2, 70)
    logits[1, place] = spoiled
    measured = rows.measure(logits, torch.tensor([1, 2]), CAPS[0])
    assert measured.logp[0].isfinite()
    assert measured.logp[1].isnan()


@each_kernel
def test_a_certain_token_costs_nothing_and_an_impossible_one_stays_finite(rows: ModuleType) -> None:
    logits = torch.full((2, 5000), -1e4)
    logits[:, 4999] = 1e4
    measured: Measured = rows.measure(logits, torch.tensor([4999, 0]), CAPS[0])
    assert measured.logp.tolist() == [0, -2e4]
    assert measured.entropy.tolist() == pytest.approx([0, 0], abs=1e-30)


@each_kernel
def test_all_logits_equal(rows: ModuleType) -> None:
    logits = torch.full((1, 4096), 1e30)
    measured = rows.measure(logits, torch.tensor([7]), CAPS[0])
    assert measured.logp.item() == pytest.approx(-measured.entropy.item()) == pytest.approx(-8.317766)


@needs_cpp
def test_an_instruction_set_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpp_rows, "INSTRUCTIONS", "avx1024")
    with pytest.raises(ValueError, match="this machine cannot run the instruction set 'avx1024'"):
        cpp_rows.measure(torch.zeros(1, 3), torch.tensor([0]), CAPS[0])
    monkeypatch.setattr(cpp_rows, "INSTRUCTIONS", "")
    with pytest.raises(ValueError, match="ids holds 3"):
        cpp_rows.measure(torch.zeros(1, 3), torch.tensor([3]), CAPS[0])


@each_kernel
@pytest.mark.parametrize("count", [1, triton_rows.SCALED_BLOCK, 2 * triton_rows.SCALED_BLOCK + 3])
def test_a_scaled_gradient_is_rounded_once(rows: ModuleType, count: int) -> None:
    values = torch.randn(count, 1)
    factor = torch.tensor(0.3)
    # Triton's interpreter cuts digits off for bfloat16.
    found = rows.scaled(values, factor, torch.float16)
    assert torch.equal(found, (values * factor).to(torch.float16))
