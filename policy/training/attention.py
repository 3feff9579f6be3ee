"""Grouped-query attention and a key-value cache for decoding, for decoders of the transformers library.

B sequences, H query heads, G key-value heads, Q query and K key positions, E head size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

NAME = "plumbline"


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention that never copies keys to every query head. query: [B, H, Q, E]; key, value: [B, G, K, E].

    Without a mask it is causal. While decoding (Q = 1) the H / G heads of a group stand in place of query positions.
    """
    batch, heads, queries, size = query.shape
    groups = key.shape[1]
    if queries == 1 and attention_mask is not None:
        grouped = query.reshape(batch, groups, heads // groups, size)
        out = scaled_dot_product_attention(grouped, key, value, attn_mask=attention_mask, scale=scaling)
        return out.reshape(batch, 1, heads, size), None
    if groups != heads:
        # enable_gqa falls back to a slow kernel on CPU; a repeat is cheap beside the projections.
        key, value = (x.repeat_interleave(heads // groups, dim=1) for x in (key, value))
    out = scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, is_causal=attention_mask is None and queries > 1, scale=scaling
    )
    return out.transpose(1, 2).contiguous(), None


def use_grouped_attention(model: nn.Module) -> None:
    """Let `model` attend by `attend`. Configs are written without it, so a saved model knows nothing of this."""
    ALL_ATTENTION_FUNCTIONS.register(NAME, attend)
    model.config._attn_implementation = NAME  # type: ignore[union-attr]


class KVCache:
    """Keys and values of `length` positions so far, in memory taken once; has the method that decoder layers call.

    With `place`, [1] int64, one position at a time is written where it says and all of the memory is returned: shapes
    never change and the host is not asked, as a CUDA graph needs it.
    """

    place: Tensor | None = None

    def __init__(self, config: Any, *, rows: int, positions: int, dtype: torch.dtype, device: torch.device) -> None:
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        shape = (config.num_hidden_layers, rows, config.num_key_value_heads, positions, size)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.length = 0

    def update(self, key: Tensor, value: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Append [B, G, Q, E] to a layer and return all it has; `advance` once every layer has been through."""
        if self.place is not None:
            for kept, new in ((self.keys, key), (self.values, value)):
                kept[layer].index_copy_(2, self.place, new)
            return self.keys[layer], self.values[layer]
        end = self.length + key.shape[2]
        self.keys[layer][:, :, self.length : end] = key
        self.values[layer][:, :, self.length : end] = value
        return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]

    def advance(self, positions: int) -> None:
        """Count positions that every layer has appended."""
        self.length += positions

    def select(self, rows: Tensor) -> None:
        """Keep (or repeat) the given rows, in that order."""
        self.keys = self.keys.index_select(1, rows)
        self.values = self.values.index_select(1, rows)
