"""A decoder's transformer layers, called one after the other. B sequences, T their padded length, D hidden."""

from __future__ import annotations

import functools
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


def embed(embedding: nn.Embedding, ids: Tensor) -> Tensor:
    """Embeddings [B, T, D] of ids [B, T]; what backward finds is added to the weight's gradient row by row.

    An embedding's own backward makes a gradient [V, D] for that. Where the weight is the head's too, both exist at the
    end of a backward pass, which is where memory is at its greatest.
    """
    weight = embedding.weight
    if not (weight.requires_grad and torch.is_grad_enabled()):
        rows: Tensor = embedding(ids)
        return rows
    rows = nn.functional.embedding(ids, weight.detach()).requires_grad_()
    rows.register_hook(functools.partial(_add_rows, embedding, ids))
    return rows


@torch.no_grad()
def _add_rows(embedding: nn.Embedding, ids: Tensor, grad: Tensor) -> None:
    weight = embedding.weight
    if weight.grad is None:
        weight.grad = torch.zeros_like(weight)
    ids, grad = ids.flatten(), grad.flatten(0, -2).to(weight.dtype)
    if embedding.padding_idx is not None:
        kept = ids != embedding.padding_idx
        ids, grad = ids[kept], grad[kept]
    # Of the two, each device has one that adds in a fixed order.
    if weight.device.type == "cpu":
        weight.grad.index_add_(0, ids, grad)
    else:
        weight.grad.index_put_((ids,), grad, accumulate=True)
