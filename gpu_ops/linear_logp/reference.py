"""The definition of linear_logp: plain PyTorch, the whole [T, V] in memory, gradients by autograd."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gpu_ops import checks


class LinearLogp(NamedTuple):
    """T tokens. Float32 (float64 for float64 input); 0 where masked; None where not wanted."""

    logp: Tensor  # [T] nats
    entropy: Tensor | None  # [T] nats
    lse: Tensor | None  # [T]


def log_probabilities(
    hidden: Tensor, weight: Tensor, temperature: float, softcap: float | None
) -> tuple[Tensor, Tensor]:
    """Scaled logits z and log p, both [N, V], in float32 or wider whatever autocast says."""
    dtype = torch.promote_types(hidden.dtype, torch.float32)
    with torch.autocast(hidden.device.type, enabled=False):
        logits = hidden.to(dtype) @ weight.to(dtype).t()
        if softcap is not None:
            logits = softcap * torch.tanh(logits / softcap)
        logits = logits / temperature
        return logits, torch.log_softmax(logits, dim=-1)


def scatter(values: Tensor, rows: Tensor | None, num_tokens: int) -> Tensor:
    """[N] back to [T], 0 where masked."""
    if rows is None:
        return values
    return values.new_zeros(num_tokens).index_copy(0, rows, values)


def linear_logp(
    hidden: Tensor,
    weight: Tensor,
    ids: Tensor,
    mask: Tensor | None,
    *,
    temperature: float,
    softcap: float | None,
    want: tuple[str, ...],
) -> LinearLogp:
    num_tokens, rows = hidden.shape[0], checks.rows(mask)
    checks.tokens(ids if rows is None else ids[rows], weight.shape[0]).refuse()
    if rows is not None:
        hidden, ids = hidden.index_select(0, rows), ids[rows]
    logits, log_p = log_probabilities(hidden, weight, temperature, softcap)
    logp = log_p.gather(1, ids[:, None]).squeeze(1)
    checks.finite("logp (so hidden or weight)", logp.detach())
    entropy = -(log_p.exp() * log_p).sum(-1) if "entropy" in want else None
    lse = torch.logsumexp(logits, -1) if "lse" in want else None
    return LinearLogp(
        scatter(logp, rows, num_tokens),
        None if entropy is None else scatter(entropy, rows, num_tokens),
        None if lse is None else scatter(lse, rows, num_tokens),
    )
