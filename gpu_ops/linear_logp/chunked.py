"""linear_logp a chunk of tokens at a time: [T, V] never exists; the backward computes each chunk's logits again."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gpu_ops.linear_logp.reference import LinearLogp
from gpu_ops.projection import Projection, entropy_of, pick, put


def linear_logp(
    hidden: Tensor,
    weight: Tensor,
    ids: Tensor,
    rows: Tensor | None,
    *,
    temperature: float,
    softcap: float | None,
    want: tuple[str, ...],
) -> LinearLogp:
    projection = Projection.of(hidden, weight, temperature, softcap)
    if torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad):
        outputs = _LinearLogp.apply(hidden, weight, ids, rows, projection, want)  # type: ignore[no-untyped-call]
        return LinearLogp(*outputs)
    return LinearLogp(*_forward(hidden, ids, rows, projection, want))


def _forward(
    hidden: Tensor, ids: Tensor, rows: Tensor | None, projection: Projection, want: tuple[str, ...]
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    ids = ids if rows is None else ids[rows]

    def empty() -> Tensor:
        return torch.zeros(hidden.shape[0], dtype=projection.accumulation_dtype, device=hidden.device)

    logp = empty()
    entropy = empty() if "entropy" in want else None
    lse = empty() if "lse" in want else None
    with projection.precision():
        for chunk in projection.chunks(ids.shape[0]):
            scores = projection.scores(projection.take(hidden, rows, chunk), want_lse=lse is not None)
            put(logp, rows, chunk, pick(scores.log_p, ids[chunk]))
            if entropy is not None:
                put(entropy, rows, chunk, entropy_of(scores.log_p.exp(), scores.log_p))
            if lse is not None and scores.lse is not None:
                put(lse, rows, chunk, scores.lse)
    return logp, entropy, lse


class _LinearLogp(torch.autograd.Function):
    """4 GEMMs of T·D·V: logits, logits again, dh, dW; a frozen input saves its own."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> tuple[Tensor, Tensor | None, Tensor | None]:
        hidden, weight, ids, rows, projection, want = args
        ctx.save_for_backward(hidden, weight, ids, rows)
        ctx.projection = projection
        ctx.set_materialize_grads(False)
        return _forward(hidden, ids, rows, projection, want)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        hidden, weight, ids, rows = ctx.saved_tensors
        projection: Projection = ctx.projection
        ids = ids if rows is None else ids[rows]
        upstream = [None if grad is None else (grad if rows is None else grad[rows]) for grad in grads]
        need_hidden, need_weight = ctx.needs_input_grad[:2]
        d_hidden = torch.zeros_like(hidden) if need_hidden else None
        d_weight = torch.zeros_like(weight, dtype=projection.accumulation_dtype) if need_weight else None
        with projection.precision():
            for chunk in projection.chunks(ids.shape[0]):
                taken = projection.take(hidden, rows, chunk)
                grad = _logits_gradient(projection, taken, ids[chunk], [u if u is None else u[chunk] for u in upstream])
                if d_weight is not None:
                    projection.accumulate_weight_gradient(d_weight, grad, taken)
                if d_hidden is not None:
                    put(d_hidden, rows, chunk, projection.hidden_gradient(grad))
        return d_hidden, None if d_weight is None else d_weight.to(weight.dtype), None, None, None, None


def _logits_gradient(projection: Projection, taken: Tensor, ids: Tensor, upstream: list[Tensor | None]) -> Tensor:
    grad_logp, grad_entropy, grad_lse = upstream
    scores = projection.scores(taken)
    probs = scores.log_p.exp()
    entropy = None if grad_entropy is None else entropy_of(probs, scores.log_p)
    if grad_logp is None:
        grad_logp = torch.zeros(ids.shape[0], dtype=probs.dtype, device=probs.device)
    return projection.logits_gradient(scores, probs, ids, grad_logp, grad_entropy, entropy, grad_lse)
