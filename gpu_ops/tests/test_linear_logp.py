from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from gpu_ops import LinearLogp, linear_logp
from gpu_ops.tests.cases import CHUNK, SIZES, VOCABULARY, WIDTH, Case, GemmCounter, LargestTensor, make_case

WANT = ("entropy", "lse")
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 0.08}
UPSTREAM = (3.0, -0.5)


def outputs_and_gradients(case: Case, upstream: Sequence[float] = (1.0,), **options: Any) -> tuple[Tensor, ...]:
    """Every output, and for each factor from above the gradients of hidden states and weight."""
    result = linear_logp(case.hidden, case.weight, case.ids, mask=case.mask, want=WANT, **options)
    assert result.entropy is not None
    assert result.lse is not None
    turn = torch.arange(result.logp.shape[0], dtype=result.logp.dtype)
    total = (result.logp * turn.cos() + 0.3 * result.entropy * turn.sin() + 0.2 * result.lse).sum()
    leaves = case.hidden, case.weight
    found = [torch.autograd.grad(each * total, leaves, retain_graph=True) for each in upstream]
    return *(x.detach() for x in result if x is not None), *itertools.chain(*found)


def assert_close(actual: tuple[Tensor, ...], expected: tuple[Tensor, ...], tolerance: float) -> None:
    for got, wanted in zip(actual, expected, strict=True):
        scale = max(1.0, float(wanted.abs().max()))
        torch.testing.assert_close(got.double(), wanted, rtol=0, atol=tolerance * scale)


def eighths() -> tuple[Tensor, Tensor]:
    """One token whose probabilities are 1/8, 2/8 and 5/8."""
    return torch.ones(1, 1), torch.tensor([[1.0], [2.0], [5.0]]).log()


@pytest.mark.usefixtures("each_path")
def test_numbers_by_hand() -> None:
    result = linear_logp(*eighths(), torch.tensor([1]), want=WANT)
    assert result.logp.item() == pytest.approx(math.log(1 / 4))
    assert result.lse is not None
    assert result.lse.item() == pytest.approx(math.log(8))
    assert result.entropy is not None
    assert result.entropy.item() == pytest.approx(math.log(8) / 8 + math.log(4) / 4 + 5 / 8 * math.log(8 / 5))


@pytest.mark.usefixtures("each_path")
def test_temperature_divides_the_logits() -> None:
    """At temperature 1/2 the odds 1 : 2 : 5 are squared."""
    assert linear_logp(*eighths(), torch.tensor([1]), temperature=0.5).logp.item() == pytest.approx(math.log(4 / 30))


@pytest.mark.usefixtures("each_path")
def test_softcap_bends_logits_before_the_temperature() -> None:
    odds = [math.exp(1.5 * math.tanh(math.log(k) / 1.5) / 2.0) for k in (1, 2, 5)]
    result = linear_logp(*eighths(), torch.tensor([2]), temperature=2.0, softcap=1.5)
    assert result.logp.item() == pytest.approx(math.log(odds[2] / sum(odds)))


@pytest.mark.parametrize("num_tokens", SIZES)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.usefixtures("chunked_path")
def test_values_and_gradients_agree_with_float64(
    num_tokens: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = make_case(num_tokens).to(dtype)
    actual = outputs_and_gradients(case, UPSTREAM, temperature=0.7, softcap=6.0)
    monkeypatch.setenv("GPU_OPS", "reference")
    expected = outputs_and_gradients(case.to(torch.float64), UPSTREAM, temperature=0.7, softcap=6.0)
    assert_close(actual, expected, TOLERANCE[dtype])


@pytest.mark.usefixtures("each_path")
def test_masked_slots_give_zero_and_take_no_gradient() -> None:
    case = make_case(70).to(torch.float32)
    *values, d_hidden, d_weight = outputs_and_gradients(case)
    for value in (*values, d_hidden):
        assert not value[~case.mask].any()
        assert value[case.mask].ne(0).any()
    assert d_weight.isfinite().all()


@pytest.mark.usefixtures("each_path")
def test_batch_without_tokens_is_zero_with_zero_gradients() -> None:
    case = make_case(9).to(torch.float32)._replace(mask=torch.zeros(9, dtype=torch.bool))
    assert all(not value.any() for value in outputs_and_gradients(case))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.usefixtures("real_chunks")
def test_same_bits_with_and_without_gradient(dtype: torch.dtype, autocast: bool) -> None:
    case = make_case(1031).to(dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        learning = linear_logp(case.hidden, case.weight, case.ids, mask=case.mask, temperature=0.7, want=WANT)
        with torch.no_grad():
            acting = linear_logp(case.hidden, case.weight, case.ids, mask=case.mask, temperature=0.7)
    assert learning.logp.requires_grad
    assert not acting.logp.requires_grad
    assert torch.equal(learning.logp, acting.logp)


@pytest.mark.usefixtures("each_path")
@pytest.mark.parametrize("scale", [1e-30, 1.0, 300.0, 1e4])
def test_log_probability_is_finite_and_never_positive(scale: float) -> None:
    case = make_case(70, scale=scale).to(torch.float32)
    *values, d_hidden, d_weight = outputs_and_gradients(case)
    assert values[0].max() <= 0
    assert all(x.isfinite().all() for x in (*values, d_hidden, d_weight))


@pytest.mark.usefixtures("chunked_path")
def test_extreme_logits_agree_with_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    case = make_case(100, scale=1e3).to(torch.float32)
    actual = outputs_and_gradients(case)
    monkeypatch.setenv("GPU_OPS", "reference")
    assert_close(actual, outputs_and_gradients(case.to(torch.float64)), 1e-5)


def test_autocast_multiplies_in_bfloat16_and_keeps_float32_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Operands that bfloat16 holds exactly lose nothing; a bfloat16 result would be off by more than 0.1 here."""
    case = make_case(60, scale=20.0).to(torch.bfloat16).to(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        result = linear_logp(case.hidden, case.weight, case.ids, mask=case.mask)
    assert torch.get_float32_matmul_precision() == "highest"
    monkeypatch.setenv("GPU_OPS", "reference")
    exact = linear_logp(case.hidden.double(), case.weight.double(), case.ids, mask=case.mask)
    torch.testing.assert_close(result.logp.double(), exact.logp, rtol=0, atol=5e-4)


def test_autocast_asks_for_bfloat16_products_in_both_directions() -> None:
    case = make_case(CHUNK).to(torch.float32)
    with GemmCounter() as counter:
        with torch.autocast("cpu", torch.bfloat16):
            logp = linear_logp(case.hidden, case.weight, case.ids, mask=case.mask).logp
        logp.sum().backward()
    assert counter.precisions == ["medium"] * 4
    assert torch.get_float32_matmul_precision() == "highest"


def test_autocast_takes_a_bfloat16_state_with_a_float32_head() -> None:
    case = make_case(40).to(torch.float32)
    hidden = case.hidden.detach().bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        result = linear_logp(hidden, case.weight, case.ids, mask=case.mask)
    result.logp.sum().backward()
    assert hidden.grad is not None
    assert hidden.grad.dtype == torch.bfloat16
    assert case.weight.grad is not None
    assert case.weight.grad.dtype == torch.float32
    assert case.weight.grad.abs().sum() > 0


def gemms(case: Case, *, hidden: bool, weight: bool) -> float:
    """GEMMs of N·D·V, forward and backward, with these gradients asked for."""
    case.hidden.requires_grad_(hidden)
    case.weight.requires_grad_(weight)
    with GemmCounter() as counter:
        result = linear_logp(case.hidden, case.weight, case.ids, mask=case.mask)
        if hidden or weight:
            result.logp.sum().backward()
    return counter.multiply_adds / (int(case.mask.sum()) * WIDTH * VOCABULARY)


def test_masked_tokens_and_frozen_inputs_cost_no_gemm() -> None:
    case = make_case(53).to(torch.float32)
    assert gemms(case, hidden=False, weight=False) == 1
    assert gemms(case, hidden=True, weight=True) == 4
    assert gemms(case, hidden=True, weight=False) == 3
    assert gemms(case, hidden=False, weight=True) == 3


def test_no_tensor_is_larger_than_a_chunk_of_logits() -> None:
    case = make_case(4 * CHUNK, share=1.0).to(torch.float32)
    with LargestTensor() as largest:
        linear_logp(case.hidden, case.weight, case.ids, mask=case.mask, want=WANT).logp.sum().backward()
    assert largest.elements == CHUNK * VOCABULARY


def refused(**changes: Any) -> LinearLogp:
    given: dict[str, Any] = {"hidden": torch.zeros(3, 4), "weight": torch.zeros(5, 4), "ids": torch.tensor([0, 1, 2])}
    given |= changes
    return linear_logp(given.pop("hidden"), given.pop("weight"), given.pop("ids"), **given)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": torch.zeros(5, 6)}, r"hidden \(3, 4\) .* weight \(5, 6\)"),
        ({"ids": torch.tensor([0, 1])}, r"ids must be \[3\] torch.int64 .* got \(2,\)"),
        ({"ids": torch.tensor([0, 1, 5])}, r"ids spans 0\.\.5 but must lie in 0\.\.4"),
        ({"ids": torch.tensor([0, -1, 2])}, r"ids spans -1\.\.2"),
        ({"weight": torch.zeros(5, 4, dtype=torch.bfloat16)}, "hidden is torch.float32 but weight is torch.bfloat16"),
        ({"mask": torch.ones(2, dtype=torch.bool)}, r"mask has shape \(2,\) but ids has shape \(3,\)"),
        ({"mask": torch.ones(3)}, "mask has dtype torch.float32"),
        ({"temperature": 0.0}, r"temperature \(0.0\)"),
        ({"softcap": -1.0}, r"softcap \(-1.0\)"),
        ({"want": ["logits"]}, r"\['logits'\]"),
        ({"hidden": torch.full((3, 4), float("nan"))}, "not finite at 3 of 3"),
    ],
)
@pytest.mark.usefixtures("each_path")
def test_bad_input_is_refused_with_both_numbers(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        refused(**changes)
