"""Losses of RLHF as one function each, and the linear layer of decoding.

T tokens, D hidden, V vocabulary; True in a mask takes part.

Every op has a reference (the definition, plain PyTorch). The fused ones take a chunk of tokens at a time and never hold
[T, V]; what lies between their GEMMs is written in PyTorch, C++ and Triton (`gpu_ops.rows`).
GPU_OPS=reference|torch|cpp|triton chooses; `path()` says which and why.
"""

from __future__ import annotations

from gpu_ops.decoding import few_rows, few_rows_linear
from gpu_ops.dispatch import path
from gpu_ops.linear_logp import LinearLogp, linear_logp
from gpu_ops.linear_ppo_loss import LinearPPO, PPOLossMetrics, linear_ppo_loss
from gpu_ops.linear_ppo_loss.module import LMHeadPPOLoss
from gpu_ops.pooling import last_states, linear_scores, span_means
from gpu_ops.preferences import grouped_preference_loss, plackett_luce_loss
from gpu_ops.values import GAE, ValueLoss, gae, value_loss, whiten

__all__ = [
    "GAE",
    "LMHeadPPOLoss",
    "LinearLogp",
    "LinearPPO",
    "PPOLossMetrics",
    "ValueLoss",
    "few_rows",
    "few_rows_linear",
    "gae",
    "grouped_preference_loss",
    "last_states",
    "linear_logp",
    "linear_ppo_loss",
    "linear_scores",
    "path",
    "plackett_luce_loss",
    "span_means",
    "value_loss",
    "whiten",
]
