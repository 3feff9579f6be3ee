"""Credit: generalised advantages, whitening, and the value function's loss. B sequences, R response tokens.

True in a mask takes part; masked slots may hold NaN and come back as 0.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gpu_ops import checks, scan

VARIANCE_EPSILON = 1e-8


class GAE(NamedTuple):
    """No gradient; 0 where masked."""

    advantages: Tensor  # [B, R] reward units
    returns: Tensor  # [B, R] reward units: advantages + values


class ValueLoss(NamedTuple):
    loss: Tensor  # scalar
    clip_fraction_sum: Tensor  # scalar, tokens whose clipped error is the greater one; no gradient


def value_loss(
    values: Tensor,
    old_values: Tensor | None,
    returns: Tensor,
    mask: Tensor | None,
    *,
    clip: float | None = 0.2,
    denominator: float | Tensor,
) -> ValueLoss:
    """loss = sum 1/2 max((v - R)^2, (clamp(v, old ± clip) - R)^2) / denominator.

    The convention of lm-human-preferences and TRL, factor 1/2 included.

    Args:
        values: [...] predicted now, carries the gradient; old_values: [...] at sampling time (None only without clip);
            returns: [...] targets. All in reward units, of any one shape.
        mask: [...] bool, or None for all.
        clip: how far values may move from old_values, in reward units; None does not clip.
        denominator: the token count of the whole optimizer step; not looked at where no token takes part.

    Raises:
        ValueError: shapes that differ, old_values missing, targets not finite where they take part.
    """
    if clip is not None:
        checks.positive("clip", clip)
        if old_values is None:
            raise ValueError(f"clip ({clip}) needs old_values, which is None")
    kept = []
    for name, tensor in (("values", values), ("old_values", old_values), ("returns", returns)):
        if tensor is None:
            continue
        checks.same_shape(name, tensor, "values", values)
        flat = tensor if name == "values" else tensor.detach()
        flat = flat.reshape(-1) if mask is None else _select(flat, mask)
        checks.finite(name, flat.detach())
        kept.append(flat.to(torch.promote_types(values.dtype, torch.float32)))
    now, target = kept[0], kept[-1]
    if not now.numel():
        return ValueLoss(now.sum(), now.new_zeros(()))
    checks.denominator(denominator)
    error, clipped = (now - target).square(), now.new_zeros(())
    if clip is not None:
        held = (now.clamp(kept[1] - clip, kept[1] + clip) - target).square()
        clipped = (held > error).sum().to(now.dtype)
        error = torch.maximum(error, held)
    return ValueLoss(0.5 * error.sum() / denominator, clipped)


def _select(tensor: Tensor, mask: Tensor) -> Tensor:
    checks.is_mask("mask", mask)
    checks.same_shape("mask", mask, "values", tensor)
    return tensor[mask]


@torch.no_grad()
def gae(
    rewards: Tensor,
    values: Tensor,
    mask: Tensor,
    *,
    gamma: float = 1.0,
    lam: float = 0.95,
    bootstrap: Tensor | None = None,
) -> GAE:
    """A_t = delta_t + gamma lam A_t', delta_t = r_t + gamma v_t' - v_t, t' the next token that takes part.

    Schulman et al. 2016, eq. 16. Computed in float64 whatever comes in, returned in values' dtype.

    Args:
        rewards, values: [B, R] reward units. mask: [B, R] bool.
        gamma, lam: in [0, 1].
        bootstrap: [B] value after the last token: 0 for a finished answer, the value estimate for one cut off by the
            length limit. None is all 0.

    Raises:
        ValueError: shapes that differ, gamma or lam outside [0, 1], a reward or value not finite.
    """
    for name, value in (("gamma", gamma), ("lam", lam)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} ({value}) must lie in 0..1")
    checks.is_mask("mask", mask)
    if values.dim() != 2:
        raise ValueError(f"values must be [B, R], got shape {tuple(values.shape)}")
    for name, tensor in (("rewards", rewards), ("mask", mask)):
        checks.same_shape(name, tensor, "values", values)
    given = {"rewards": rewards, "values": values}
    if bootstrap is None:
        bootstrap = values.new_zeros(values.shape[0])
    if bootstrap.shape != values.shape[:1]:
        raise ValueError(f"bootstrap has shape {tuple(bootstrap.shape)} but values hold {values.shape[0]} sequences")
    good = [torch.where(mask, x, 0.0).isfinite().all() for x in given.values()]
    if not bool(torch.stack([*good, bootstrap.isfinite().all()]).all()):
        for name, tensor in given.items():
            checks.finite(name, tensor[mask])
        checks.finite("bootstrap", bootstrap)
    return GAE(*scan.advantages(rewards, values, mask, bootstrap, gamma=gamma, lam=lam))


@torch.no_grad()
def whiten(x: Tensor, mask: Tensor, *, shift_mean: bool = True) -> Tensor:
    """(x - mean) / sqrt(var + 1e-8) over the tokens that take part; variance unbiased (n - 1; 0 for one token).

    Args:
        x: [...]. mask: [...] bool. shift_mean: False gives the mean back afterwards (for rewards).

    Returns:
        [...] of x's dtype, 0 where masked. No gradient.
    """
    taken = _select(x, mask).double()
    out = torch.zeros_like(x)
    if not taken.numel():
        return out
    checks.finite("x", taken)
    centred = taken - taken.mean()
    scaled = centred * (centred.square().sum() / max(taken.numel() - 1, 1) + VARIANCE_EPSILON).rsqrt()
    out[mask] = (scaled if shift_mean else scaled + taken.mean()).to(x.dtype)
    return out
