"""A decoder's transformer layers, called one after the other. B sequences, T their padded length, D hidden."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from policy.training.attention import KVCache


def run_layers(
    layers: Iterable[nn.Module],
    rotary: nn.Module,
    hidden: Tensor,
    *,
    positions: Tensor | None = None,
    mask: Tensor | None = None,
    cache: KVCache | None = None,
) -> Tensor:
    """Pass hidden [B, T, D] through decoder layers.

    positions: [B, T], by default 0..T-1. mask: additive [B, 1, T, K]; None is causal.
    """
    if positions is None:
        positions = torch.arange(hidden.shape[1], device=hidden.device)[None]
    angles = rotary(hidden, position_ids=positions)
    for layer in layers:
        hidden = layer(
            hidden, attention_mask=mask, position_ids=positions, position_embeddings=angles, past_key_values=cache
        )
    return hidden
