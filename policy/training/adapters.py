"""Low-rank adapters (Hu et al. 2021, arXiv:2106.09685) by peft, put in place of a decoder's matrices.

What calls the layers need not know of them, and the policy with its adapters off is the reference.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from policy.training.config import LoRAConfig
from policy.training.randomness import generator

MATRICES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@torch.no_grad()
def add_adapters(model: nn.Module, config: LoRAConfig, *, first_layer: int, num_layers: int, seed: int) -> None:
    """Freeze `model` and give the matrices of its layers from first_layer on an adapter each, which adds 0 at first."""
    assert config.rank is not None
    model.requires_grad_(False)
    asked = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,  # type: ignore[arg-type]
        target_modules=list(MATRICES),
        layers_to_transform=list(range(first_layer, num_layers)),
        layers_pattern="layers",
    )
    inject_adapter_in_model(asked, model)
    source = generator(seed, "adapters")
    for _, adapter in _adapters(model):
        for first in adapter.lora_A.parameters():
            # As peft draws them, but from the run's own seed.
            first.copy_(nn.init.kaiming_uniform_(torch.empty(first.shape), a=math.sqrt(5), generator=source))


@contextmanager
def adapters_off(model: nn.Module) -> Iterator[None]:
    """The model as it was before it had adapters. Gradients of adapters cannot be collected meanwhile."""
    adapters = _adapters(model)
    for _, adapter in adapters:
        adapter.enable_adapters(False)
    try:
        yield
    finally:
        for _, adapter in adapters:
            adapter.enable_adapters(True)


@torch.no_grad()
def fold_adapters(model: nn.Module) -> None:
    """Add every adapter to its matrix and remove it: a plain model again, whose weights need no peft to be read."""
    for name, adapter in _adapters(model):
        adapter.merge()
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, adapter.get_base_layer())


def without_effect(name: str, parameter: Tensor) -> Tensor:
    """What an adapter's parameter has to be for the adapter to add nothing: its second matrix zero, as at the start."""
    return torch.zeros_like(parameter) if ".lora_B." in name else parameter.detach()


def _adapters(model: nn.Module) -> list[tuple[str, LoraLayer]]:
    return [(name, module) for name, module in model.named_modules() if isinstance(module, LoraLayer)]
