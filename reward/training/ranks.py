"""Several processes that train one policy, each doing a share of the work.

Every rank takes the same decisions. One idea does for all that they tell each other: each fills in its own rows of a
tensor that is zero elsewhere, and the sum over ranks is the whole. Random numbers derive from places in the run, so it
does not matter which rank draws them: the result is that of one process up to rounding.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among `count`; alone by default.

    `sharded` says that a rank holds its share of the transformer layers and meets the others in every pass of them.
    """

    index: int = 0
    count: int = 1
    sharded: bool = False

    @property
    def is_first(self) -> bool:
        return self.index == 0

    def share(self, items: Sequence[Item]) -> list[Item]:
        """This rank's items: every count-th, so that what is sorted by length is spread evenly."""
        return list(items[self.index :: self.count])

    def share_passes(self, rows: Sequence[Tensor]) -> list[Tensor]:
        """This rank's passes, each named by its rows. Sharded, all ranks get as many: what is missing is of no rows."""
        mine = self.share(rows)
        if self.sharded and len(mine) * self.count < len(rows):
            mine.append(rows[0].new_empty(0))
        return mine

    def add_up(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its sum over ranks. All ranks must come with the same shapes in the same order."""
        if self.count > 1:
            for tensor in tensors:
                dist.all_reduce(tensor)

    def totals(self, values: Sequence[float]) -> list[float]:
        """Sum of each number over ranks, in float64."""
        return self._reduced(values, dist.ReduceOp.SUM)

    def greatest(self, value: float) -> float:
        """The greatest of a number over ranks."""
        return self._reduced([value], dist.ReduceOp.MAX)[0]

    @torch.no_grad()
    def add_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Sum every gradient over ranks; who had no part in one that others have counts as zero.

        Those of sharded parameters are sums already.
        """
        parameters = [parameter for parameter in parameters if not isinstance(parameter, DTensor)]
        if self.count == 1 or not parameters:
            return
        has = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.int64)
        device = parameters[0].device
        has = has.to(device)
        dist.all_reduce(has)
        for parameter, holders in zip(parameters, has.tolist(), strict=True):
            if holders:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                dist.all_reduce(parameter.grad)

    def _reduced(self, values: Sequence[float], operation: dist.ReduceOp.RedOpType) -> list[float]:
        if self.count == 1:
            return list(values)
        # A CPU tensor would not do under NCCL.
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        told = torch.tensor(values, dtype=torch.float64, device=device)
        dist.all_reduce(told, op=operation)
        reduced: list[float] = told.tolist()
        return reduced


ALONE = Ranks()


def join_ranks(device: str) -> Ranks:
    """Meet the other processes that `accelerate launch` or `torchrun` started, if there are any.

    They shard the layers where ACCELERATE_USE_FSDP is true, which accelerate sets for `distributed_type: FSDP`.

    Args:
        device: cpu (gloo) or cuda (NCCL, a device each).
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return ALONE
    if not dist.is_initialized():
        if device != "cpu":
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        dist.init_process_group("gloo" if device == "cpu" else "nccl")
    sharded = os.environ.get("ACCELERATE_USE_FSDP", "").lower() in ("1", "true")
    return Ranks(dist.get_rank(), count, sharded)
