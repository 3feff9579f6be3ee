"""Bytes by part: what autograd keeps, what a batch is padded to, and which moment needs most."""

from __future__ import annotations

import itertools
import json
from statistics import mean

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from policy.training.trunk import Policy
from reward.training import footprint
from reward.training.footprint import Part
from reward.training.shape import read_shape


def kept_bytes(layers: int) -> tuple[int, LlamaConfig]:
    """What a forward pass of 3 sequences of 7 tokens keeps for its gradient, parameters not counted."""
    config = LlamaConfig(
        vocab_size=50, hidden_size=48, intermediate_size=80, num_hidden_layers=layers, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=True,
    )  # fmt: skip
    policy = Policy(LlamaForCausalLM(config))
    own = {p.untyped_storage().data_ptr() for p in policy.parameters()}
    found: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        _alive = policy.top(torch.randint(0, 50, (3, 7)), None)
    return sum(found.values()), config


def test_activations_are_what_autograd_keeps_of_a_layer() -> None:
    (few, config), (many, _config) = kept_bytes(2), kept_bytes(5)
    shape = read_shape(json.loads(config.to_json_string()))
    assert shape is not None

    assert footprint.activations(shape, layers=3, tokens=3 * 7) == many - few


def test_a_batch_is_padded_to_the_mean_of_its_greatest() -> None:
    lengths = [3, 9, 4, 4]

    expected = mean(max(batch) for batch in itertools.product(lengths, repeat=3))

    assert footprint.greatest_of(lengths, 3) == pytest.approx(expected)
    assert footprint.greatest_of(lengths, 1) == mean(lengths)


def test_the_peak_is_the_moment_that_needs_most_without_empty_parts() -> None:
    held = [Part("model", 100, is_certain=True), Part("average", 0)]
    learn, evaluate = [Part("gradients", 60, is_certain=True)], [Part("chosen", 70), Part("cache", 20)]

    parts = footprint.peak(held, [learn, evaluate])

    assert parts == [held[0], *evaluate]
    assert (footprint.total(parts), footprint.certain(parts)) == (190, 100)
