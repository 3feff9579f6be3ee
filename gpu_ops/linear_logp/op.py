"""`plumbline::linear_logp` as PyTorch knows it: checks of values, fake tensors, autograd."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gpu_ops import checks
from gpu_ops.linear_logp import chunked
from gpu_ops.projection import Projection
from gpu_ops.rows import Measured, Softmax, Upstream


@torch.library.custom_op("plumbline::linear_logp", mutates_args=())
def linear_logp(
    hidden: Tensor,
    weight: Tensor,
    ids: Tensor,
    mask: Tensor | None,
    temperature: float,
    softcap: float | None,
    gemm_dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """logp, entropy, lse, and what the backward needs of the softmax: peak and log_sum. [T] each, 0 where masked."""
    rows = checks.rows(mask)
    tokens = ids if rows is None else ids[rows]
    look = checks.tokens(tokens, weight.shape[0])
    projection = Projection.of(hidden, weight, Softmax(temperature, softcap), gemm_dtype)
    measured = chunked.forward(hidden, tokens, rows, projection, look)
    checks.finite("logp (so hidden or weight)", measured.logp)
    return measured.logp, measured.entropy, measured.peak + measured.log_sum, measured.peak, measured.log_sum


@linear_logp.register_fake
def _(
    hidden: Tensor,
    weight: Tensor,
    ids: Tensor,
    mask: Tensor | None,
    temperature: float,
    softcap: float | None,
    gemm_dtype: torch.dtype,
) -> tuple[Tensor, ...]:
    dtype = torch.promote_types(gemm_dtype, torch.float32)
    return tuple(hidden.new_empty(hidden.shape[0], dtype=dtype) for _ in range(5))


@torch.library.custom_op("plumbline::linear_logp_backward", mutates_args=())
def linear_logp_backward(
    hidden: Tensor,
    weight: Tensor,
    ids: Tensor,
    mask: Tensor | None,
    logp: Tensor,
    entropy: Tensor,
    peak: Tensor,
    log_sum: Tensor,
    grad_logp: Tensor | None,
    grad_entropy: Tensor | None,
    grad_lse: Tensor | None,
    temperature: float,
    softcap: float | None,
    gemm_dtype: torch.dtype,
    need_hidden: bool,
    need_weight: bool,
) -> tuple[Tensor, Tensor]:
    """d_hidden and d_weight in their inputs' dtypes; empty where not needed. No second derivative."""
    projection = Projection.of(hidden, weight, Softmax(temperature, softcap), gemm_dtype)
    d_hidden, d_weight = chunked.backward(
        hidden,
        ids,
        checks.rows(mask),
        projection,
        Measured(logp, entropy, peak, log_sum),
        Upstream(grad_logp, grad_entropy, grad_lse),
        need_hidden=need_hidden,
        need_weight=need_weight,
    )
    nothing = hidden.new_empty(0)
    return (
        nothing if d_hidden is None else d_hidden,
        weight.new_empty(0) if d_weight is None else d_weight.to(weight.dtype),
    )


@linear_logp_backward.register_fake
def _(hidden: Tensor, weight: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    need_hidden, need_weight = rest[-2:]
    return (
        torch.empty_like(hidden) if need_hidden else hidden.new_empty(0),
        weight.new_empty(weight.shape) if need_weight else weight.new_empty(0),
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    hidden, weight, ids, mask, *ctx.options = inputs
    logp, entropy, _, peak, log_sum = output
    ctx.save_for_backward(hidden, weight, ids, mask, logp, entropy, peak, log_sum)
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    need_hidden, need_weight = ctx.needs_input_grad[:2]
    d_hidden, d_weight = linear_logp_backward(*ctx.saved_tensors, *grads[:3], *ctx.options, need_hidden, need_weight)
    return d_hidden if need_hidden else None, d_weight if need_weight else None, *(None,) * 5


linear_logp.register_autograd(_backward, setup_context=_setup_context)
