"""The row kernels in C++ (`gpu_ops/cpp`): float32 on the CPU."""

from __future__ import annotations

import torch
from torch import Tensor

from gpu_ops.objective import KL_KINDS, Objective
from gpu_ops.rows import Measured, PPOGradient, PPOTokens, Softmax, Upstream
from gpu_ops.rows.torch_rows import scaled

__all__ = ["gradient", "measure", "ppo", "scaled"]

INSTRUCTIONS = ""
"""Which instruction set runs; empty is the best that the machine has."""


def measure(logits: Tensor, ids: Tensor, softmax: Softmax) -> Measured:
    measured = Measured(*(logits.new_empty(logits.shape[0]) for _ in Measured._fields))
    torch.ops.plumbline_cpp.measure(logits, ids.contiguous(), *softmax, *measured, INSTRUCTIONS)
    return measured


def gradient(
    logits: Tensor, ids: Tensor, softmax: Softmax, measured: Measured, upstream: Upstream, dtype: torch.dtype
) -> Tensor:
    columns = [value if value is None else value.contiguous() for value in (*measured[1:], *upstream)]
    torch.ops.plumbline_cpp.gradient(logits, ids.contiguous(), *softmax, *columns, INSTRUCTIONS)
    return logits


def ppo(
    logits: Tensor, tokens: PPOTokens, softmax: Softmax, objective: Objective, scale: Tensor, dtype: torch.dtype
) -> PPOGradient:
    logp, entropy, grad_logp = (logits.new_empty(logits.shape[0]) for _ in range(3))
    ids, *columns = (value if value is None else value.contiguous() for value in tokens)
    torch.ops.plumbline_cpp.ppo(
        logits,
        ids,
        *softmax,
        *columns,
        objective.clip_low,
        objective.clip_high,
        objective.dual_clip,
        objective.entropy_coef,
        objective.kl_coef,
        KL_KINDS.index(objective.kl_kind) + 1,
        float(scale),
        logp,
        entropy,
        grad_logp,
        INSTRUCTIONS,
    )
    return PPOGradient(logp, entropy, grad_logp, logits)
