"""Scalar scores of sequences, read at their last tokens."""

from __future__ import annotations

import torch
from torch import Tensor

from gpu_ops import checks


def last_token_scores(hidden: Tensor, last: Tensor, head_weight: Tensor, head_bias: Tensor | None = None) -> Tensor:
    """hidden[last] · head_weight' + head_bias, in float32 (or float64), even under autocast.

    Last tokens are gathered before the head, so no other position is read; padding may hold NaN.

    Args:
        hidden: [N, D], the states of sequences laid end to end. last: [A] int64, the place of each one's last token.
        head_weight: [M, D], a row for each head. head_bias: [M], or None.

    Returns:
        [A, M] scores.

    Raises:
        ValueError: shapes that do not fit, a place outside 0..N-1.
    """
    if hidden.dim() != 2 or head_weight.dim() != 2 or head_weight.shape[1] != hidden.shape[1]:
        raise ValueError(
            f"hidden {tuple(hidden.shape)} must be [N, D] and head_weight {tuple(head_weight.shape)} [M, D]"
        )
    checks.is_index("last", last)
    checks.within("last", last, hidden.shape[0], f"hidden has {hidden.shape[0]} tokens")
    dtype = torch.promote_types(hidden.dtype, torch.float32)
    # A product and a sum instead of a matrix product: its precision would follow the global setting for GEMMs.
    scores = (hidden[last].to(dtype)[:, None] * head_weight.to(dtype)).sum(-1)
    return scores if head_bias is None else scores + head_bias.to(dtype)
