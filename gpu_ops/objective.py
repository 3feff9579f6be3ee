"""The policy's per-token objective and its gradient in closed form. N tokens that take part; no mask from here on.

    d = clamp(logp - old_logp, ±20)      r = exp(d)      A advantage
    policy   = max(-A r, -A clamp(r, 1 - clip_low, 1 + clip_high));  for A < 0 at most -A dual_clip
    loss     = policy + kl_coef * kl - entropy_coef * H

d policy / d logp = -A r where the unclipped term is the one taken and d is not clamped, else 0: the clipped, the
dual-clipped and the clamped term are constants.

KL to the reference, e = ref_logp - logp (Schulman 2020, "Approximating KL divergence"):

    k1 = -e          dk1/dlogp = 1
    k2 = e^2 / 2     dk2/dlogp = -e
    k3 = exp(e) - 1 - e     dk3/dlogp = 1 - exp(e);   e is held at 20 from above, with gradient 0 there
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

LOG_RATIO_LIMIT = 20.0
KL_KINDS = ("k1", "k2", "k3")


class PPOLossMetrics(NamedTuple):
    """Scalars: SUMS over the tokens that take part (divide by their number yourself); ratio_max is a maximum."""

    approx_kl_k1: Tensor  # sum of old_logp - logp, nats
    approx_kl_k3: Tensor  # sum of r - 1 - log r, nats
    clip_fraction: Tensor  # tokens whose policy gradient a clip (PPO's or the dual one) set to 0
    ratio_max: Tensor  # greatest r; 0 without tokens
    clamped: Tensor  # tokens whose log-ratio went beyond ±20
    entropy: Tensor  # nats
    kl_ref: Tensor  # kl_kind's estimate against ref_logp, nats; 0 without ref_logp


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """Coefficients of the per-token objective; see linear_ppo_loss for each."""

    clip_low: float
    clip_high: float
    dual_clip: float | None
    entropy_coef: float
    kl_coef: float
    kl_kind: str

    def __post_init__(self) -> None:
        if not 0 <= self.clip_low < 1 or self.clip_high < 0:
            raise ValueError(f"clip_low ({self.clip_low}) must lie in [0, 1) and clip_high ({self.clip_high}) be >= 0")
        if self.dual_clip is not None and self.dual_clip <= 1 + self.clip_high:
            raise ValueError(f"dual_clip ({self.dual_clip}) must exceed 1 + clip_high ({1 + self.clip_high})")
        if self.kl_kind not in KL_KINDS:
            raise ValueError(f"kl_kind ({self.kl_kind!r}) must be one of {', '.join(KL_KINDS)}")


class TokenTerms(NamedTuple):
    """loss [N], d loss / d logp [N] (entropy's share apart: it is -entropy_coef everywhere), and sums."""

    loss: Tensor
    grad_logp: Tensor
    metrics: PPOLossMetrics


def token_terms(
    logp: Tensor,
    entropy: Tensor,
    old_logp: Tensor | None,
    advantages: Tensor,
    ref_logp: Tensor | None,
    objective: Objective,
) -> TokenTerms:
    """Loss, gradient and metrics of N tokens, N >= 1; old_logp None means r = 1. All [N]."""
    raw = torch.zeros_like(logp) if old_logp is None else logp - old_logp
    inside = raw.abs() <= LOG_RATIO_LIMIT
    log_ratio = raw.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    ratio = log_ratio.exp()
    free = -advantages * ratio
    held = -advantages * ratio.clamp(1 - objective.clip_low, 1 + objective.clip_high)
    flat = held > free
    loss = torch.maximum(free, held)
    if objective.dual_clip is not None:
        ceiling = -advantages * objective.dual_clip
        beyond = (advantages < 0) & (loss > ceiling)
        loss, flat = torch.where(beyond, ceiling, loss), flat | beyond
    grad = torch.where(flat | ~inside, torch.zeros_like(free), free)
    kl = torch.zeros_like(logp)
    if ref_logp is not None:
        kl, kl_grad = kl_terms(logp, ref_logp, objective.kl_kind)
        loss, grad = loss + objective.kl_coef * kl, grad + objective.kl_coef * kl_grad
    metrics = PPOLossMetrics(
        approx_kl_k1=-raw.sum(),
        approx_kl_k3=(ratio - 1 - log_ratio).sum(),
        clip_fraction=flat.sum().to(logp.dtype),
        ratio_max=ratio.max(),
        clamped=(~inside).sum().to(logp.dtype),
        entropy=entropy.sum(),
        kl_ref=kl.sum(),
    )
    return TokenTerms(loss - objective.entropy_coef * entropy, grad, metrics)


def kl_terms(logp: Tensor, ref_logp: Tensor, kind: str) -> tuple[Tensor, Tensor]:
    """The estimator and its derivative in logp, both [N]."""
    e = ref_logp - logp
    if kind == "k1":
        return -e, torch.ones_like(e)
    if kind == "k2":
        return e.square() / 2, -e
    held = e.clamp(max=LOG_RATIO_LIMIT)
    return held.expm1() - held, torch.where(e <= LOG_RATIO_LIMIT, -held.expm1(), torch.zeros_like(e))


def no_metrics(like: Tensor) -> PPOLossMetrics:
    return PPOLossMetrics(*(like.new_zeros(()) for _ in PPOLossMetrics._fields))
