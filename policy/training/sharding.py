"""Transformer layers cut over ranks by PyTorch's FSDP2 (`fully_shard`): a rank holds its share and meets the others for
every pass of a layer.

Weights, gradients and AdamW's moments of a layer are then DTensors. Embeddings, final norm and heads are whole on every
rank: the losses of gpu_ops read the language-model head as it is. What leaves the ranks or comes back goes through
`whole` and `share_of`, so files are those of one process.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from policy.training.trunk import Policy
from reward.training.ranks import ALONE, Ranks
from reward.training.rundir import TrainingRefused


def shard(policy: Policy, *, ranks: Ranks, device: str) -> None:
    """Cut every layer over `ranks` and move all to `device`, layer by layer. Make the optimizer afterwards.

    Raises:
        TrainingRefused: the policy has adapters (`sharded_adapters`).
    """
    if policy.has_adapters:
        message = (
            "LoRA cannot be combined with layers that are sharded over processes; "
            "set lora.rank to none, or start the processes without FSDP."
        )
        raise TrainingRefused(message, code="sharded_adapters")
    mesh = init_device_mesh(torch.device(device).type, (ranks.count,))
    for layers in policy.towers():
        sharded = [fully_shard(layer, mesh=mesh, reshard_after_forward=True) for layer in layers]
        for index, layer in enumerate(sharded):
            # The loss divides by all ranks' tokens already, so gradients add up; Gloo knows a plain sum alone.
            layer.set_gradient_divide_factor(1.0)
            layer.set_force_sum_reduction_for_comms(True)
            # By itself FSDP prefetches what ran before, on each rank another: the draws of a step differ in length.
            below = max(index - 1, 0)
            layer.set_modules_to_backward_prefetch([sharded[below] if _is_trained(layers[below]) else layer])
    root = _Towers(policy)
    fully_shard(root, mesh=mesh)
    policy.move(device)
    root()


def _is_trained(layer: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in layer.parameters())


class _Towers(nn.Module):
    """The root that makes FSDP share its buffers among all layers: roots of their own would each keep the last ones.

    FSDP takes the module that is called first for the root. This one is called once and does nothing.
    """

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.towers = nn.ModuleList(policy.towers())

    def forward(self) -> None:
        """Nothing."""


@contextmanager
def unsharded(model: nn.Module) -> Iterator[None]:
    """Within it layers are whole: ranks may call them as often as each needs. Every rank must enter and leave it."""
    layers = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for layer in layers:
        layer.set_reshard_after_forward(False)
        layer.unshard()
    try:
        yield
    finally:
        for layer in layers:
            layer.set_reshard_after_forward(True)
            layer.reshard()


@torch.no_grad()
def whole(tensors: Mapping[str, Tensor], *, ranks: Ranks = ALONE) -> dict[str, Tensor]:
    """All tensors, contiguous; sharded ones gathered one by one into the first rank's main memory.

    Every rank must call it with the same names in the same order; only the first one's result is whole.
    """
    found = {}
    for name, tensor in tensors.items():
        if isinstance(tensor, DTensor):
            full = tensor.full_tensor()
            if ranks.is_first:
                found[name] = full.cpu()
        else:
            found[name] = tensor.detach().contiguous()
    return found


def share_of(full: Tensor, like: Tensor) -> Tensor:
    """What this rank holds of `full`, which every rank has, where `like` is sharded; else `full` on like's device."""
    full = full.to(like.device)
    if isinstance(like, DTensor) and full.shape == like.shape:
        return distribute_tensor(full, like.device_mesh, like.placements, src_data_rank=None)
    return full


def by_kind(parameters: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Replicated and sharded ones apart, which no operation takes together; empty kinds are left out."""
    kinds = [[p for p in parameters if isinstance(p, DTensor) is sharded] for sharded in (False, True)]
    return [kind for kind in kinds if kind]


def clip_gradients(parameters: Sequence[nn.Parameter], limit: float) -> float:
    """Scale gradients to an L2 norm of at most `limit`, over all parameters and ranks. Returns the norm before."""
    kinds = by_kind(parameters)
    norm = math.hypot(*(_norm(kind) for kind in kinds))
    for kind in kinds:
        clip_grads_with_norm_(kind, limit, torch.tensor(norm))
    return norm


def _norm(parameters: Sequence[nn.Parameter]) -> float:
    norm = get_total_norm([p.grad for p in parameters if p.grad is not None])
    return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)
