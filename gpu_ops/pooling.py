"""Scalar scores of sequences laid end to end: what is read of each one's states, and the head on it.

N tokens, D hidden, A sequences, F features of a sequence, M heads. Only the tokens that are named are read; padding may
hold NaN. Everything is float32 (float64 for float64 states), even under autocast.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gpu_ops import checks


def last_states(hidden: Tensor, last: Tensor) -> Tensor:
    """[A, D] of hidden [N, D], at the places `last` [A] int64.

    Raises:
        ValueError: shapes that do not fit, a place outside 0..N-1.
    """
    _are_places("last", last, hidden)
    return hidden[last].to(torch.promote_types(hidden.dtype, torch.float32))


def span_means(hidden: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """[A, D], the mean of hidden [N, D] from `first` to `last`, both [A] int64 and both included.

    Raises:
        ValueError: shapes that do not fit, a place outside 0..N-1, a span that ends before it begins.
    """
    checks.same_shape("first", first, "last", last)
    _are_places("first", first, hidden)
    _are_places("last", last, hidden)
    lengths = last - first + 1
    if lengths.numel() and int(lengths.min()) < 1:
        raise ValueError("last must not lie before first")
    before = lengths.cumsum(0) - lengths
    places = torch.arange(int(lengths.sum()), device=hidden.device) + (first - before).repeat_interleave(lengths)
    states = hidden[places].to(torch.promote_types(hidden.dtype, torch.float32))
    means: Tensor = torch.segment_reduce(states, "mean", lengths=lengths)
    return means


def linear_scores(features: Tensor, head_weight: Tensor, head_bias: Tensor | None = None) -> Tensor:
    """[A, M], features [A, F] · head_weight' [M, F] + head_bias [M].

    Raises:
        ValueError: shapes that do not fit.
    """
    if features.dim() != 2 or head_weight.dim() != 2 or head_weight.shape[1] != features.shape[1]:
        raise ValueError(
            f"features {tuple(features.shape)} must be [A, F] and head_weight {tuple(head_weight.shape)} [M, F]"
        )
    dtype = torch.promote_types(features.dtype, torch.float32)
    # A product and a sum instead of a matrix product: its precision would follow the global setting for GEMMs.
    scores = (features.to(dtype)[:, None] * head_weight.to(dtype)).sum(-1)
    return scores if head_bias is None else scores + head_bias.to(dtype)


def _are_places(name: str, places: Tensor, hidden: Tensor) -> None:
    if hidden.dim() != 2:
        raise ValueError(f"hidden {tuple(hidden.shape)} must be [N, D]")
    checks.is_index(name, places)
    checks.within(name, places, hidden.shape[0], f"hidden has {hidden.shape[0]} tokens")
