"""The recurrence of generalised advantages, from the right, over the tokens that take part. B sequences, R tokens.

    A_t = r_t + gamma v_next - v_t + gamma lam A_next,  v_next and A_next of the next token that takes part

Float64 inside, whatever comes in: gamma lam near 1 sums hundreds of rounded terms.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gpu_ops import dispatch


class Advantages(NamedTuple):
    """[B, R] of values' dtype, 0 where masked."""

    advantages: Tensor
    returns: Tensor  # advantages + values


def advantages(
    rewards: Tensor, values: Tensor, mask: Tensor, bootstrap: Tensor, *, gamma: float, lam: float
) -> Advantages:
    """rewards, values: [B, R], NaN where masked allowed; mask: [B, R] bool; bootstrap: [B] v_next of the last token."""
    name = dispatch.path(values.device).name
    if name == "triton":
        from gpu_ops.scan import triton_scan

        return Advantages(*triton_scan.advantages(rewards, values, mask, bootstrap, gamma, lam))
    last = bootstrap.double().contiguous()
    if name == "cpp":
        return _in_cpp(rewards, values, mask, last, gamma, lam)
    wide_rewards, wide_values = (x.double().masked_fill(~mask, 0.0) for x in (rewards, values))
    found = _by_columns(wide_rewards, wide_values, mask, last, gamma, lam)
    return Advantages(found.to(values.dtype), (found + wide_values).to(values.dtype))


def _in_cpp(rewards: Tensor, values: Tensor, mask: Tensor, last: Tensor, gamma: float, lam: float) -> Advantages:
    dtype = torch.promote_types(torch.promote_types(rewards.dtype, values.dtype), torch.float32)
    given = [x.to(dtype).contiguous() for x in (rewards, values)]
    found = Advantages(*(torch.empty_like(given[1]) for _ in Advantages._fields))
    torch.ops.plumbline_cpp.gae(*given, mask.contiguous(), last, gamma, lam, *found)
    return Advantages(*(x.to(values.dtype) for x in found))


def _by_columns(rewards: Tensor, values: Tensor, mask: Tensor, next_value: Tensor, gamma: float, lam: float) -> Tensor:
    running = torch.zeros_like(next_value)
    found = torch.zeros_like(values)
    for t in range(values.shape[1] - 1, -1, -1):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        here = mask[:, t]
        running = torch.where(here, delta + gamma * lam * running, running)
        next_value = torch.where(here, values[:, t], next_value)
        found[:, t] = torch.where(here, running, 0.0)
    return found
