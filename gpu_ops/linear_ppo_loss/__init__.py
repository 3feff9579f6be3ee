"""PPO's policy loss straight from hidden states: log-probability, entropy, ratio, clip and KL in one pass."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from gpu_ops import checks, dispatch
from gpu_ops.linear_ppo_loss import op, reference
from gpu_ops.linear_ppo_loss.reference import LinearPPO
from gpu_ops.objective import Objective, PPOLossMetrics

__all__ = ["LinearPPO", "PPOLossMetrics", "linear_ppo_loss"]


def linear_ppo_loss(
    hidden: Tensor,
    weight: Tensor,
    ids: Tensor,
    old_logp: Tensor | None,
    advantages: Tensor,
    mask: Tensor | None,
    *,
    temperature: float = 1.0,
    softcap: float | None = None,
    ref_logp: Tensor | None = None,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float | None = None,
    entropy_coef: float = 0.0,
    kl_coef: float = 0.0,
    kl_kind: str = "k3",
    denominator: float | Tensor,
    loss_scale: float = 1.0,
) -> LinearPPO:
    """loss = loss_scale / denominator * sum_t [policy_t + kl_coef kl_t - entropy_coef H_t]; terms in `objective.py`.

    PPO-clip (Schulman et al. 2017, eq. 7) with separate bounds (DAPO's clip-higher) and dual clip (Ye et al. 2020,
    eq. 5). The gradient is taken in the forward pass; backward only scales it. Only the loss carries a gradient.

    Args:
        hidden, weight, ids, temperature, softcap: as in linear_logp.
        old_logp: [T] of the sampling policy at the same temperature, nats; None means on policy, ratio 1.
        advantages: [T].
        mask: [T] bool, True takes part; None is all. Masked slots may hold NaN and any id, and cost no GEMM.
        ref_logp: [T] of the reference policy; needed for kl_coef, otherwise only kl_ref is reported.
        clip_low, clip_high: the ratio is held in [1 - clip_low, 1 + clip_high]. Log-ratios are held at ±20.
        dual_clip: for negative advantages the loss is at most -advantage * dual_clip; above 1 + clip_high.
        entropy_coef: weight of the entropy bonus. kl_coef, kl_kind: weight and estimator of KL as a loss.
        denominator: what the sum is divided by: the token count of the whole optimizer step, over micro-batches and
            ranks, so that accumulation changes nothing. Not looked at where no token takes part.
        loss_scale: a further factor. Float16 needs one: the gradients of logits are rounded in the forward pass, where
            a GradScaler's factor has not come yet, and below 6e-8 they are 0.

    Returns:
        LinearPPO; metrics are SUMS over tokens, so that they add up over micro-batches.

    Raises:
        ValueError: shapes or dtypes that do not fit, an id outside the vocabulary, old_logp, advantages or ref_logp
            not finite where they take part, kl_coef without ref_logp, a loss that is not finite.
    """
    checks.projection(hidden, weight, ids, mask, temperature, softcap)
    objective = Objective(
        clip_low=clip_low,
        clip_high=clip_high,
        dual_clip=dual_clip,
        entropy_coef=entropy_coef,
        kl_coef=kl_coef,
        kl_kind=kl_kind,
    )
    if kl_coef and ref_logp is None:
        raise ValueError(f"kl_coef ({kl_coef}) needs ref_logp, which is None")
    for name, column in (("old_logp", old_logp), ("advantages", advantages), ("ref_logp", ref_logp)):
        if column is not None:
            checks.same_shape(name, column, "ids", ids)
            checks.same_device(name, column, "ids", ids)
    old_logp, ref_logp = (None if column is None else column.detach() for column in (old_logp, ref_logp))
    gemm_dtype = checks.gemm_dtype(hidden)
    dtype = torch.promote_types(gemm_dtype, torch.float32)
    checks.one_number("denominator", denominator)
    divisor = torch.as_tensor(denominator, dtype=dtype, device=hidden.device).detach()
    if dispatch.is_reference(hidden.device.type):
        rows = checks.rows(mask)
        tokens = op.take_part(ids, old_logp, advantages.detach(), ref_logp, rows, dtype)
        op.look_at(tokens, weight.shape[0], divisor).refuse()
        scale = op.scale_of(tokens, divisor, loss_scale, dtype)
        return reference.linear_ppo_loss(
            hidden, weight, rows, tokens, objective, temperature=temperature, softcap=softcap, scale=scale
        )
    learning = torch.is_grad_enabled()
    loss, metrics, logp, entropy, *_ = op.linear_ppo_loss(
        hidden,
        weight,
        ids,
        old_logp,
        advantages.detach(),
        mask,
        ref_logp,
        divisor,
        float(temperature),
        softcap,
        *dataclasses.astuple(objective),
        float(loss_scale),
        gemm_dtype,
        learning and hidden.requires_grad,
        learning and weight.requires_grad,
    )
    return LinearPPO(loss, PPOLossMetrics(*metrics.detach().unbind()), logp.detach(), entropy.detach())
