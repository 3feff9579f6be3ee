"""A sequence's scalar score, read at its last real token."""

from __future__ import annotations

import torch
from torch import Tensor

from gpu_ops import checks


def last_token_scores(
    hidden: Tensor, lengths: Tensor, head_weight: Tensor, head_bias: Tensor | float | None = None
) -> Tensor:
    """score_b = hidden[b, lengths_b - 1] · head_weight + head_bias, in float32 (or float64), even under autocast.

    The last token is gathered before the head, so padding is never read and may hold NaN.

    Args:
        hidden: [B, L, D], padded on the right. lengths: [B] int64, real tokens, 1..L.
        head_weight: [D]. head_bias: scalar, or None.

    Returns:
        [B] scores.

    Raises:
        ValueError: shapes that do not fit, a length outside 1..L.
    """
    if hidden.dim() != 3 or head_weight.shape != hidden.shape[2:]:
        raise ValueError(
            f"hidden {tuple(hidden.shape)} must be [B, L, D] and head_weight {tuple(head_weight.shape)} [D]"
        )
    checks.is_index("lengths", lengths)
    if lengths.shape[0] != hidden.shape[0]:
        raise ValueError(f"lengths has {lengths.shape[0]} entries but hidden has {hidden.shape[0]} sequences")
    checks.within("lengths - 1", lengths - 1, hidden.shape[1], f"sequences are padded to {hidden.shape[1]}")
    dtype = torch.promote_types(hidden.dtype, torch.float32)
    last = hidden[torch.arange(hidden.shape[0], device=hidden.device), lengths - 1].to(dtype)
    scores = (last * head_weight.to(dtype)).sum(-1)
    if head_bias is None:
        return scores
    return scores + (head_bias.to(dtype).reshape(()) if isinstance(head_bias, Tensor) else head_bias)
