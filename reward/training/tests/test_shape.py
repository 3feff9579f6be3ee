"""Sizes counted from config.json against models of the transformers library."""

from __future__ import annotations

import json
from typing import Any

import pytest
from transformers import AutoConfig, AutoModelForCausalLM

from reward.training.shape import FAMILIES, read_shape

SIZES = {
    "vocab_size": 300,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("llama", {}),
    ("llama", {"tie_word_embeddings": True}),
    ("llama", {"head_dim": 24, "attention_bias": True, "mlp_bias": True}),
    ("mistral", {"head_dim": 24}),
    ("qwen2", {"tie_word_embeddings": True}),
    ("qwen3", {"head_dim": 16, "attention_bias": True}),
]


def test_every_family_has_a_case() -> None:
    assert {family for family, _more in CASES} == FAMILIES


@pytest.mark.parametrize(("family", "more"), CASES, ids=str)
def test_parameters_are_those_of_the_real_model(family: str, more: dict[str, Any]) -> None:
    config = AutoConfig.for_model(family, **SIZES, **{"tie_word_embeddings": False} | more)
    model = AutoModelForCausalLM.from_config(config)

    shape = read_shape(json.loads(config.to_json_string()))

    assert shape is not None
    assert shape.total == sum(p.numel() for p in model.parameters())
    assert shape.backbone == sum(p.numel() for p in model.model.parameters())
    assert shape.layer == sum(p.numel() for p in model.model.layers[0].parameters())
    matrices = [p for p in model.model.layers[0].parameters() if p.dim() == 2]
    assert shape.layer_matrices == sum(p.numel() for p in matrices)
    top = [model.model.layers[1], model.model.layers[2], model.model.norm]
    assert shape.top(2) == sum(p.numel() for part in top for p in part.parameters())
    assert shape.first(2).backbone == shape.backbone - shape.layer


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"model_type": "mixtral", **SIZES},
        {"model_type": "llama"},
        {"model_type": "llama", **SIZES, "hidden_size": "64"},
        {"model_type": "llama", **SIZES, "vocab_size": -1},
        {"model_type": "llama", **SIZES, "num_hidden_layers": True},
        {"model_type": ["llama"], **SIZES},
    ],
    ids=str,
)
def test_what_cannot_be_counted_is_not_guessed(config: dict[str, Any]) -> None:
    assert read_shape(config) is None
