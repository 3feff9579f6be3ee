"""The linear layer of decoding: every tile's edge, each instruction set, and where PyTorch's own takes its place."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

from gpu_ops import decoding, few_rows_linear
from gpu_ops.tests.conftest import needs_cpp
from gpu_ops.tests.test_rows import instruction_sets

pytestmark = needs_cpp


@pytest.fixture(params=instruction_sets(), autouse=True)
def _instructions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "INSTRUCTIONS", request.param)
    monkeypatch.setattr(decoding, "LEAST_WEIGHTS", 1)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Inputs that went to PyTorch's function instead of the kernel."""
    seen: list[Tensor] = []

    def spy(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        seen.append(inputs)
        return linear(inputs, weight, bias)

    monkeypatch.setattr(decoding, "linear", spy)
    return seen


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("width", [1, 3, 15, 16, 17, 33, 576])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 64, 20_001])
@torch.no_grad()
def test_every_output_is_the_sum_of_products(calls: list[Tensor], width: int, count: int) -> None:
    weight = numbers(count, width)
    for rows in (1, 2, 3, 4, 5, 7, 8, 32):
        inputs = numbers(rows, width)

        found = few_rows_linear(inputs, weight)

        torch.testing.assert_close(found.double(), inputs.double() @ weight.double().T, rtol=1e-5, atol=1e-4)
    assert not calls


@torch.no_grad()
def test_a_row_does_not_depend_on_those_beside_it(calls: list[Tensor]) -> None:
    inputs, weight = numbers(7, 100), numbers(50, 100)

    together = few_rows_linear(inputs, weight)

    assert torch.equal(together, torch.cat([few_rows_linear(row[None], weight) for row in inputs]))
    assert not calls


@torch.no_grad()
def test_leading_dimensions_bias_and_strides_are_as_in_pytorch(calls: list[Tensor]) -> None:
    inputs, weight, bias = numbers(6, 2, 20).transpose(0, 1), numbers(9, 20), numbers(9)

    found = few_rows_linear(inputs, weight, bias)

    assert not calls
    torch.testing.assert_close(found, linear(inputs, weight, bias))


@torch.no_grad()
def test_what_is_not_finite_stays_so_in_its_own_row(calls: list[Tensor]) -> None:
    inputs = numbers(5, 40)
    inputs[1, 3] = torch.nan

    found = few_rows_linear(inputs, numbers(6, 40))

    assert found[1].isnan().all()
    assert found[[0, 2, 3, 4]].isfinite().all()
    assert not calls


def test_pytorch_computes_what_needs_a_gradient(calls: list[Tensor]) -> None:
    few_rows_linear(numbers(2, 8), numbers(3, 8).requires_grad_())

    assert len(calls) == 1


@torch.no_grad()
@pytest.mark.parametrize("kind", ["rows", "weights", "dtype", "strides", "path", "autocast"])
def test_pytorch_computes_what_the_kernel_is_not_for(
    calls: list[Tensor], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    inputs, weight = numbers(33 if kind == "rows" else 2, 8), numbers(8, 8)
    if kind == "weights":
        monkeypatch.setattr(decoding, "LEAST_WEIGHTS", 65)
    if kind == "dtype":
        inputs, weight = inputs.bfloat16(), weight.bfloat16()
    if kind == "strides":
        weight = weight.T
    if kind == "path":
        monkeypatch.setenv("GPU_OPS", "torch")
    with torch.autocast("cpu", torch.bfloat16, enabled=kind == "autocast"):
        found = few_rows_linear(inputs, weight)

    assert len(calls) == 1
    assert found.shape == (len(inputs), 8)
