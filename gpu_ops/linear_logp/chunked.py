"""linear_logp a chunk of tokens at a time: [T, V] never exists; the backward computes each chunk's logits again.

Forward one GEMM of N·D·V, backward three: logits, dh, dW; a frozen input saves its own.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gpu_ops import checks
from gpu_ops.linear_logp.reference import scatter
from gpu_ops.projection import Projection
from gpu_ops.rows import Measured, Upstream


def forward(hidden: Tensor, tokens: Tensor, rows: Tensor | None, projection: Projection, look: checks.Look) -> Measured:
    """[T] each, 0 where masked.

    Args:
        tokens: [N] ids of the tokens that take part. rows: [N] int64 which those are, None for all.
        look: at the ids, which is answered while the device makes the first logits.
    """
    measured = Measured(
        *(
            torch.empty(tokens.shape, dtype=projection.accumulation_dtype, device=hidden.device)
            for _ in Measured._fields
        )
    )
    with projection.precision():
        for chunk in projection.chunks(tokens.shape[0]):
            logits = projection.logits(projection.take(hidden, rows, chunk))
            look.refuse()
            here = projection.kernels.measure(logits, tokens[chunk], projection.softmax)
            for into, values in zip(measured, here, strict=True):
                into[chunk] = values
    return Measured(*(scatter(values, rows, hidden.shape[0]) for values in measured))


class Gradients(NamedTuple):
    hidden: Tensor | None
    weight: Tensor | None


def backward(
    hidden: Tensor,
    ids: Tensor,
    rows: Tensor | None,
    projection: Projection,
    measured: Measured,
    upstream: Upstream,
    *,
    need_hidden: bool,
    need_weight: bool,
) -> Gradients:
    """Gradients in the inputs' dtype, the weight's in the accumulation dtype; measured and upstream [T]."""
    tokens = ids if rows is None else ids[rows]
    d_hidden = torch.zeros_like(hidden) if need_hidden else None
    d_weight = projection.empty_weight_gradient() if need_weight else None
    with projection.precision():
        for chunk in projection.chunks(tokens.shape[0]):
            places = chunk if rows is None else rows[chunk]
            taken = projection.take(hidden, rows, chunk)
            grad = projection.kernels.gradient(
                projection.logits(taken),
                tokens[chunk],
                projection.softmax,
                Measured(*(values[places] for values in measured)),
                Upstream(*(values if values is None else values[places] for values in upstream)),
                projection.weight.dtype,
            )
            if d_weight is not None:
                projection.add_weight_gradient(d_weight, grad, taken, first=chunk.start == 0)
            if d_hidden is not None:
                d_hidden[places] = torch.mm(grad, projection.weight).to(d_hidden.dtype)
    if d_weight is not None and not tokens.numel():
        d_weight.zero_()
    return Gradients(d_hidden, d_weight)
