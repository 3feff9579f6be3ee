"""The row kernels in plain PyTorch: any device, float32 and float64. A few rows at a time, so that they stay cached."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from gpu_ops.objective import Objective, token_terms
from gpu_ops.rows import Measured, PPOGradient, PPOTokens, Softmax, Upstream

CPU_CACHE_BYTES = 2**21  # of logits in hand: with as much again for their exponentials, about a second-level cache


def measure(logits: Tensor, ids: Tensor, softmax: Softmax) -> Measured:
    parts = []
    for part in _parts(logits):
        shifted = _shift(logits[part], softmax)
        parts.append(_sum_up(shifted, shifted.x.exp(), ids[part]))
    return Measured(*(torch.cat(values) for values in zip(*parts, strict=True)))


def gradient(
    logits: Tensor, ids: Tensor, softmax: Softmax, measured: Measured, upstream: Upstream, dtype: torch.dtype
) -> Tensor:
    for part in _parts(logits):
        shifted = _shift(logits[part], softmax, measured.peak[part])
        here = Upstream(*(value if value is None else value[part] for value in upstream))
        _slope(shifted, shifted.x.exp(), ids[part], softmax, Measured(*(value[part] for value in measured)), here)
    return logits.to(dtype)


def ppo(
    logits: Tensor, tokens: PPOTokens, softmax: Softmax, objective: Objective, scale: Tensor, dtype: torch.dtype
) -> PPOGradient:
    parts = []
    for part in _parts(logits):
        ids, old_logp, advantages, ref_logp = tokens.part(part)
        shifted = _shift(logits[part], softmax)
        weights = shifted.x.exp()
        measured = _sum_up(shifted, weights, ids)
        grad = token_terms(measured.logp, measured.entropy, old_logp, advantages, ref_logp, objective).grad_logp * scale
        bonus = (-objective.entropy_coef * scale).expand_as(grad) if objective.entropy_coef else None
        _slope(shifted, weights, ids, softmax, measured, Upstream(grad, bonus, None))
        parts.append((measured.logp, measured.entropy, grad))
    logp, entropy, grad_logp = (torch.cat(values) for values in zip(*parts, strict=True))
    return PPOGradient(logp, entropy, grad_logp, logits.to(dtype))


def scaled(values: Tensor, factor: Tensor, dtype: torch.dtype) -> Tensor:
    return (values * factor.to(values.dtype)).to(dtype)


class _Shifted(NamedTuple):
    """x [c, V] = z - peak, in the logits' memory; peak [c]; tanh(a / softcap) [c, V] where there is a softcap."""

    x: Tensor
    peak: Tensor
    tanh: Tensor | None


def _parts(logits: Tensor) -> Iterator[slice]:
    count, vocabulary = logits.shape
    step = count
    if logits.device.type == "cpu":
        step = max(1, CPU_CACHE_BYTES // (logits.element_size() * vocabulary))
    for start in range(0, count, step):
        yield slice(start, start + step)


def _shift(logits: Tensor, softmax: Softmax, peak: Tensor | None = None) -> _Shifted:
    tanh = None
    if softmax.softcap is not None:
        tanh = logits.div_(softmax.softcap).tanh_().clone()
        logits.mul_(softmax.softcap)
    if softmax.temperature != 1.0:
        logits.mul_(1 / softmax.temperature)
    if peak is None:
        peak = logits.amax(-1)
    return _Shifted(logits.sub_(peak[:, None]), peak, tanh)


def _sum_up(shifted: _Shifted, weights: Tensor, ids: Tensor) -> Measured:
    """weights: e^x. The sums are no matrix products, which "medium" precision would round."""
    mass = weights.sum(-1)
    log_sum = mass.log()
    entropy = (log_sum - torch.linalg.vecdot(weights, shifted.x) / mass).clamp(min=0)
    return Measured(shifted.x.gather(1, ids[:, None]).squeeze(1) - log_sum, entropy, shifted.peak, log_sum)


def _slope(
    shifted: _Shifted, weights: Tensor, ids: Tensor, softmax: Softmax, measured: Measured, upstream: Upstream
) -> None:
    """Write dL/da over x. Uses up weights."""
    share = (-measured.log_sum).exp() / softmax.temperature
    constant = torch.zeros_like(share)
    for value, sign in ((upstream.logp, -1), (upstream.lse, 1)):
        if value is not None:
            constant = constant + sign * value
    grad = shifted.x
    if upstream.entropy is None:
        torch.mul(weights, (constant * share)[:, None], out=grad)
    else:
        constant = constant - upstream.entropy * (measured.entropy - measured.log_sum)
        grad.mul_((-upstream.entropy * share)[:, None]).add_((constant * share)[:, None]).mul_(weights)
    if upstream.logp is not None:
        grad.scatter_add_(1, ids[:, None], (upstream.logp / softmax.temperature)[:, None])
    if shifted.tanh is not None:
        grad.mul_(1 - shifted.tanh.square())
