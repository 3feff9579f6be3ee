"""The sizes of a Llama-like decoder, counted from its config.json. Imports no torch: forms estimate with them.

D hidden size, V vocabulary, L layers, H query heads, G key-value heads, E head size, F inner size of the MLP.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

BIASED_PROJECTIONS = frozenset({"qwen2"})
"""Families whose q, k and v have a bias whatever the config says."""
NORMED_HEADS = frozenset({"qwen3"})
"""Families that normalise every head's query and key."""
FAMILIES = BIASED_PROJECTIONS | NORMED_HEADS | {"llama", "mistral"}
"""`model_type`s whose parameters are counted exactly; a test holds each against transformers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Counts are of parameters unless a name says otherwise."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    inner: int
    is_tied: bool
    """The head's weight is the embedding's."""
    biases: int = 0
    """Bias terms of a layer."""
    has_normed_heads: bool = False

    @property
    def queries(self) -> int:
        """H E: width of what a token asks with."""
        return self.heads * self.head_size

    @property
    def keys(self) -> int:
        """G E: width of a token's keys, and of its values."""
        return self.kv_heads * self.head_size

    @property
    def layer_matrices(self) -> int:
        """What a layer multiplies every token by."""
        return 2 * self.width * (self.queries + self.keys) + 3 * self.width * self.inner

    @property
    def layer(self) -> int:
        norms = 2 * self.width + (2 * self.head_size if self.has_normed_heads else 0)
        return self.layer_matrices + norms + self.biases

    @property
    def embedding(self) -> int:
        return self.vocabulary * self.width

    @property
    def head(self) -> int:
        """Of the language-model head alone: none where it is the embedding."""
        return 0 if self.is_tied else self.embedding

    @property
    def backbone(self) -> int:
        """Embedding, layers and the final norm."""
        return self.embedding + self.layers * self.layer + self.width

    @property
    def total(self) -> int:
        return self.backbone + self.head

    def top(self, layers: int | None) -> int:
        """The last so many layers with the final norm; everything for None."""
        if layers is None:
            return self.total
        return min(layers, self.layers) * self.layer + self.width

    def adapters(self, rank: int, layers: int | None) -> int:
        """Low-rank adapters beside the seven matrices of the last so many layers."""
        ends = 2 * (self.width + self.queries) + 2 * (self.width + self.keys) + 3 * (self.width + self.inner)
        return rank * ends * min(layers or self.layers, self.layers)

    def first(self, layers: int | None) -> Shape:
        """The decoder cut after its first so many layers."""
        return self if layers is None else replace(self, layers=min(layers, self.layers))


def read_shape(config: Mapping[str, Any]) -> Shape | None:
    """The sizes that a model's config.json names; None for a family that is not known or numbers that are not there."""
    family = config.get("model_type")
    if not isinstance(family, str) or family not in FAMILIES:
        return None
    try:
        width, heads = _count(config["hidden_size"]), _count(config["num_attention_heads"])
        kv_heads = _count(config.get("num_key_value_heads") or heads)
        shape = Shape(
            vocabulary=_count(config["vocab_size"]),
            width=width,
            layers=_count(config["num_hidden_layers"]),
            heads=heads,
            kv_heads=kv_heads,
            head_size=_count(config.get("head_dim") or width // heads),
            inner=_count(config["intermediate_size"]),
            is_tied=bool(config.get("tie_word_embeddings", False)),
            has_normed_heads=family in NORMED_HEADS,
        )
    except (KeyError, TypeError, ValueError):
        return None
    return replace(shape, biases=_biases(shape, config, family))


def _count(value: Any) -> int:
    if type(value) is not int or not 0 < value < 2**40:
        raise ValueError(f"{value!r} is no count")
    return value


def _biases(shape: Shape, config: Mapping[str, Any], family: str) -> int:
    asking = shape.queries + 2 * shape.keys
    if family in BIASED_PROJECTIONS:
        return asking
    attention = asking + shape.width if config.get("attention_bias") else 0
    return attention + (2 * shape.inner + shape.width if config.get("mlp_bias") and family == "llama" else 0)
