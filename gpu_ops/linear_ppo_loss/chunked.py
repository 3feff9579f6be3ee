"""linear_ppo_loss a chunk of tokens at a time: 3 GEMMs of N·D·V, because the gradient is taken in the forward pass.

That is right only for a scalar upstream (the loss is one number), so the backward is one scale; per-token outputs carry
no gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gpu_ops.linear_ppo_loss.objective import Objective, PPOLossMetrics, add, no_metrics, token_terms
from gpu_ops.linear_ppo_loss.reference import LinearPPO, Tokens
from gpu_ops.projection import Projection, Scores, entropy_of, pick, put

COMPACT_BELOW = 0.75  # share of rows with a gradient under which copying them out is cheaper than their GEMMs


def linear_ppo_loss(
    hidden: Tensor,
    weight: Tensor,
    tokens: Tokens,
    objective: Objective,
    *,
    temperature: float,
    softcap: float | None,
    scale: Tensor,
) -> LinearPPO:
    work = _Pass(hidden, weight, tokens, objective, Projection.of(hidden, weight, temperature, softcap), scale)
    if not torch.is_grad_enabled() or not (hidden.requires_grad or weight.requires_grad):
        loss, logp, entropy, *metrics = work.run()
    else:
        loss, logp, entropy, *metrics = _LinearPPOLoss.apply(hidden, weight, work)  # type: ignore[no-untyped-call]
    return LinearPPO(loss, PPOLossMetrics(*metrics), logp, entropy)


class _LinearPPOLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *args: Any) -> tuple[Tensor, ...]:
        _, weight, work = args
        work.prepare_gradients(*ctx.needs_input_grad[:2])
        loss, *rest = work.run()
        ctx.save_for_backward(work.d_hidden, None if work.d_weight is None else work.d_weight.to(weight.dtype))
        ctx.mark_non_differentiable(*rest)
        return loss, *rest

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        upstream = grads[0]
        d_hidden, d_weight = (
            saved if saved is None else saved * upstream.to(saved.dtype) for saved in ctx.saved_tensors
        )
        return d_hidden, d_weight, None


class _Pass:
    """One pass over the chunks; d_hidden and d_weight exist where a gradient is due."""

    def __init__(
        self,
        hidden: Tensor,
        weight: Tensor,
        tokens: Tokens,
        objective: Objective,
        projection: Projection,
        scale: Tensor,
    ) -> None:
        self.hidden, self.weight, self.tokens = hidden.detach(), weight.detach(), tokens
        self.objective, self.projection, self.scale = objective, projection, scale
        self.d_hidden: Tensor | None = None
        self.d_weight: Tensor | None = None

    def prepare_gradients(self, for_hidden: bool, for_weight: bool) -> None:
        if for_hidden:
            self.d_hidden = torch.zeros_like(self.hidden)
        if for_weight:
            self.d_weight = torch.zeros_like(self.weight, dtype=self.projection.accumulation_dtype)

    def run(self) -> tuple[Tensor, ...]:
        """loss, logp [T], entropy [T], then the metrics."""
        logp = torch.zeros(self.hidden.shape[0], dtype=self.projection.accumulation_dtype, device=self.hidden.device)
        entropy, total, metrics = torch.zeros_like(logp), logp.new_zeros(()), no_metrics(logp)
        rows, ids, old_logp, advantages, ref_logp = self.tokens
        with self.projection.precision():
            for chunk in self.projection.chunks(ids.shape[0]):
                taken = self.projection.take(self.hidden, rows, chunk)
                scores = self.projection.scores(taken)
                probs = scores.log_p.exp()
                chunk_logp, chunk_entropy = pick(scores.log_p, ids[chunk]), entropy_of(probs, scores.log_p)
                terms = token_terms(
                    chunk_logp,
                    chunk_entropy,
                    None if old_logp is None else old_logp[chunk],
                    advantages[chunk],
                    None if ref_logp is None else ref_logp[chunk],
                    self.objective,
                )
                total, metrics = total + terms.loss.sum(), add(metrics, terms.metrics)
                put(logp, rows, chunk, chunk_logp)
                put(entropy, rows, chunk, chunk_entropy)
                self._backward(taken, scores, probs, chunk, terms.grad_logp, chunk_entropy)
        return total * self.scale, logp, entropy, *metrics

    def _backward(
        self, taken: Tensor, scores: Scores, probs: Tensor, chunk: slice, grad_logp: Tensor, entropy: Tensor
    ) -> None:
        """Add a chunk's share to d_hidden and d_weight; clipped tokens and zero advantages may skip the GEMMs."""
        if self.d_hidden is None and self.d_weight is None:
            return
        ids = self.tokens.ids[chunk]
        places = torch.arange(chunk.start, chunk.stop, device=ids.device)
        grad_entropy = None
        if self.objective.entropy_coef:
            grad_entropy = (-self.objective.entropy_coef * self.scale).expand_as(grad_logp)
        else:
            due = grad_logp.nonzero().squeeze(1)
            if due.numel() == 0:
                return
            if due.numel() < COMPACT_BELOW * ids.numel():
                tanh = None if scores.tanh is None else scores.tanh[due]
                scores, probs, taken = Scores(scores.log_p, tanh, None), probs[due], taken[due]
                ids, places, grad_logp = ids[due], places[due], grad_logp[due]
        grad = self.projection.logits_gradient(scores, probs, ids, grad_logp * self.scale, grad_entropy, entropy)
        if self.d_weight is not None:
            self.projection.accumulate_weight_gradient(self.d_weight, grad, taken)
        if self.d_hidden is not None:
            target = places if self.tokens.rows is None else self.tokens.rows[places]
            put(self.d_hidden, target, slice(None), self.projection.hidden_gradient(grad))
