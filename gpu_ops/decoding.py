"""Linear layers while decoding: a handful of rows against the whole of the weights. No gradient.

Reading the weights once is the floor. BLAS packs them first, for a reuse that few rows do not have.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from gpu_ops import dispatch

MOST_ROWS = 32
"""Beyond it BLAS is as fast (benchmarks/decode.py)."""

LEAST_WEIGHTS = 2**16
"""Fewer stay in the cache, where the call costs more than the product."""

INSTRUCTIONS = ""
"""Which instruction set runs; empty is the best that the machine has."""


def few_rows_linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """inputs: [..., K]; weight: [N, K]; bias: [N] or None. [..., N] as torch.nn.functional.linear, which it calls where
    the kernel has no part: on a GPU, in another dtype than float32, with gradient, with many rows or few weights."""
    if not _is_ours(inputs, weight):
        return linear(inputs, weight, bias)
    rows = inputs.reshape(-1, inputs.shape[-1]).contiguous()
    out: Tensor = torch.ops.plumbline_cpp.few_rows(rows, weight, INSTRUCTIONS)
    out = out.view(*inputs.shape[:-1], -1)
    return out if bias is None else out + bias


@contextmanager
def few_rows(model: nn.Module) -> Iterator[None]:
    """Within it the linear layers of `model` compute few rows at a time by `few_rows_linear`.

    A layer whose `forward` somebody else has replaced is left as it is.
    """
    layers = [m for m in model.modules() if type(m) is nn.Linear and "forward" not in vars(m)]
    for layer in layers:
        layer.forward = MethodType(_forward, layer)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _forward(layer: nn.Linear, inputs: Tensor) -> Tensor:
    return few_rows_linear(inputs, layer.weight, layer.bias)


def _is_ours(inputs: Tensor, weight: Tensor) -> bool:
    return (
        weight.numel() >= LEAST_WEIGHTS
        and 0 < inputs.numel() <= MOST_ROWS * inputs.shape[-1]
        and inputs.dtype == weight.dtype == torch.float32
        and weight.is_contiguous()
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled(inputs.device.type)
        and dispatch.path(inputs.device).name == "cpp"
    )
