"""The definition of linear_ppo_loss: plain PyTorch, the whole [T, V] in memory, gradients by autograd."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gpu_ops import checks
from gpu_ops.linear_logp.reference import log_probabilities, scatter
from gpu_ops.objective import LOG_RATIO_LIMIT, Objective, PPOLossMetrics, no_metrics
from gpu_ops.rows import PPOTokens


class LinearPPO(NamedTuple):
    """T tokens; only loss carries a gradient. logp and entropy are 0 where masked."""

    loss: Tensor  # scalar
    metrics: PPOLossMetrics
    logp: Tensor  # [T] nats
    entropy: Tensor  # [T] nats


def linear_ppo_loss(
    hidden: Tensor,
    weight: Tensor,
    rows: Tensor | None,
    tokens: PPOTokens,
    objective: Objective,
    *,
    temperature: float,
    softcap: float | None,
    scale: Tensor,
) -> LinearPPO:
    num_tokens = hidden.shape[0]
    if rows is not None:
        hidden = hidden.index_select(0, rows)
    _, log_p = log_probabilities(hidden, weight, temperature, softcap)
    logp = log_p.gather(1, tokens.ids[:, None]).squeeze(1)
    entropy = -(log_p.exp() * log_p).sum(-1)
    loss, metrics = _objective(logp, entropy, tokens, objective)
    checks.finite("loss (so hidden or weight)", loss.detach())
    return LinearPPO(
        loss.sum() * scale,
        metrics,
        scatter(logp.detach(), rows, num_tokens),
        scatter(entropy.detach(), rows, num_tokens),
    )


def _objective(logp: Tensor, entropy: Tensor, tokens: PPOTokens, objective: Objective) -> tuple[Tensor, PPOLossMetrics]:
    old_logp = logp.detach() if tokens.old_logp is None else tokens.old_logp
    raw = logp - old_logp
    log_ratio = raw.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    ratio = log_ratio.exp()
    advantages = tokens.advantages
    gain = torch.minimum(advantages * ratio, advantages * ratio.clamp(1 - objective.clip_low, 1 + objective.clip_high))
    if objective.dual_clip is not None:
        gain = torch.where(advantages < 0, torch.maximum(gain, advantages * objective.dual_clip), gain)
    kl = torch.zeros_like(logp)
    if tokens.ref_logp is not None:
        e = tokens.ref_logp - logp
        held = e.clamp(max=LOG_RATIO_LIMIT)
        kl = {"k1": -e, "k2": e.square() / 2, "k3": held.exp() - 1 - held}[objective.kl_kind]
    loss = -gain + objective.kl_coef * kl - objective.entropy_coef * entropy
    if logp.numel() == 0:
        return loss, no_metrics(logp)
    metrics = PPOLossMetrics(
        approx_kl_k1=-raw.sum(),
        approx_kl_k3=(ratio - 1 - log_ratio).sum(),
        clip_fraction=(gain != advantages * ratio).sum().to(logp.dtype),
        ratio_max=ratio.max(),
        clamped=(raw.abs() > LOG_RATIO_LIMIT).sum().to(logp.dtype),
        entropy=entropy.sum(),
        kl_ref=kl.sum(),
    )
    return loss, PPOLossMetrics(*(value.detach() for value in metrics))
