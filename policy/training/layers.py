"""A decoder's transformer layers, called one after the other. B sequences, T their padded length, D hidden."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import MethodType

import torch
from torch import Tensor, nn

from gpu_ops import few_rows_linear
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


@contextmanager
def few_rows(model: nn.Module) -> Iterator[None]:
    """Within it the linear layers of `model` compute few rows at a time as decoding wants it, by gpu_ops."""
    layers = [module for module in model.modules() if type(module) is nn.Linear]
    for layer in layers:
        layer.forward = MethodType(_forward, layer)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _forward(layer: nn.Linear, inputs: Tensor) -> Tensor:
    return few_rows_linear(inputs, layer.weight, layer.bias)
