"""linear_ppo_loss a chunk of tokens at a time: 3 GEMMs of N·D·V, because the gradient is taken in the forward pass.

That is right only for a scalar upstream (the loss is one number), so the backward is one scale; per-token outputs carry
no gradient.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gpu_ops.checks import Look, finite_later
from gpu_ops.linear_logp.reference import scatter
from gpu_ops.objective import Objective, PPOLossMetrics, no_metrics, token_terms
from gpu_ops.projection import Projection
from gpu_ops.rows import PPOGradient, PPOTokens

COMPACT_BELOW = 0.75  # share of rows with a gradient under which copying them out is cheaper than their GEMMs


class Result(NamedTuple):
    loss: Tensor  # scalar
    metrics: PPOLossMetrics
    logp: Tensor  # [T]
    entropy: Tensor  # [T]
    d_hidden: Tensor | None  # [T, D] of hidden's dtype
    d_weight: Tensor | None  # [V, D] of the accumulation dtype


class Pass:
    """One pass over the chunks; d_hidden and d_weight exist where a gradient is due."""

    def __init__(
        self,
        hidden: Tensor,
        rows: Tensor | None,
        tokens: PPOTokens,
        objective: Objective,
        projection: Projection,
        scale: Tensor,
        look: Look,
        *,
        need_hidden: bool,
        need_weight: bool,
    ) -> None:
        self.hidden, self.rows, self.tokens = hidden, rows, tokens
        self.objective, self.projection, self.scale, self.look = objective, projection, scale, look
        self.d_hidden = torch.zeros_like(hidden) if need_hidden else None
        self.d_weight = projection.empty_weight_gradient() if need_weight else None
        self.d_weight_started = False
        count = tokens.ids.shape[0]
        self.logp = torch.zeros(count, dtype=projection.accumulation_dtype, device=hidden.device)
        self.entropy = torch.zeros_like(self.logp)

    def run(self) -> Result:
        count = self.tokens.ids.shape[0]
        told = (self.logp.sum(), no_metrics(self.logp))
        with self.projection.precision():
            for chunk in self.projection.chunks(count):
                taken, ppo = self._chunk(chunk)
                if chunk.stop == count:
                    # Before the last products, so that the answer is here when they are under way.
                    told = self._tell()
                    finite = finite_later("loss (so hidden or weight)", told[0])
                if ppo is not None:
                    self._backward(taken, ppo, chunk)
        if count:
            finite.refuse()
        if self.d_weight is not None and not self.d_weight_started:
            self.d_weight.zero_()
        logp, entropy = (scatter(values, self.rows, self.hidden.shape[0]) for values in (self.logp, self.entropy))
        return Result(*told, logp, entropy, self.d_hidden, self.d_weight)

    def _tell(self) -> tuple[Tensor, PPOLossMetrics]:
        _, old_logp, advantages, ref_logp = self.tokens
        terms = token_terms(self.logp, self.entropy, old_logp, advantages, ref_logp, self.objective)
        return terms.loss.sum() * self.scale, terms.metrics

    def _chunk(self, chunk: slice) -> tuple[Tensor, PPOGradient | None]:
        """The chunk's hidden states and, where a gradient is due, its rows'."""
        projection = self.projection
        taken = projection.take(self.hidden, self.rows, chunk)
        logits = projection.logits(taken)
        self.look.refuse()
        if self.d_hidden is None and self.d_weight is None:
            measured = projection.kernels.measure(logits, self.tokens.ids[chunk], projection.softmax)
            self.logp[chunk], self.entropy[chunk] = measured.logp, measured.entropy
            return taken, None
        ppo = projection.kernels.ppo(
            logits, self.tokens.part(chunk), projection.softmax, self.objective, self.scale, projection.weight.dtype
        )
        self.logp[chunk], self.entropy[chunk] = ppo.logp, ppo.entropy
        return taken, ppo

    def _backward(self, taken: Tensor, ppo: PPOGradient, chunk: slice) -> None:
        """Add a chunk's share to d_hidden and d_weight; clipped tokens and zero advantages may skip the GEMMs."""
        _, _, grad_logp, grad = ppo
        places = torch.arange(chunk.start, chunk.stop, device=grad.device)
        if not self.objective.entropy_coef:
            due = grad_logp.nonzero().squeeze(1)
            if due.numel() == 0:
                return
            if due.numel() < COMPACT_BELOW * grad_logp.numel():
                grad, taken, places = grad[due], taken[due], places[due]
        if self.d_weight is not None:
            self.projection.add_weight_gradient(self.d_weight, grad, taken, first=not self.d_weight_started)
            self.d_weight_started = True
        if self.d_hidden is not None:
            target = places if self.rows is None else self.rows[places]
            self.d_hidden[target] = torch.mm(grad, self.projection.weight).to(self.d_hidden.dtype)
