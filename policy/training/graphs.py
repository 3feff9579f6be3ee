"""A step of fixed shapes, recorded once as a CUDA graph and replayed: a GPU is no longer kept waiting for Python.

While decoding, a layer is dozens of small kernels, most of which take the host longer to start than the GPU to run.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

ROPES_THAT_ASK_THE_HOST = ("dynamic", "longrope")
"""Kinds of rotary embedding (transformers) whose frequencies depend on the longest position, which is read back."""


def has_fixed_steps(model: nn.Module) -> bool:
    """Whether decoding with `model` can be recorded: on CUDA, and without a question to the host on the way."""
    weight: Tensor = model.lm_head.weight  # type: ignore[union-attr, assignment]
    return weight.device.type == "cuda" and not asks_the_host(model)


def asks_the_host(model: nn.Module) -> bool:
    """Whether a layer is gathered from other ranks first, or a rotary embedding reads the longest position back."""
    kind = str(getattr(model.model.rotary_emb, "rope_type", "default"))  # type: ignore[union-attr]
    return any(asks in kind for asks in ROPES_THAT_ASK_THE_HOST) or any(
        isinstance(module, FSDPModule) for module in model.modules()
    )


class Graph:
    """value = step(value), time and again; what else a step reads and writes must stay in the same memory.

    The first step after `begin` runs as it is, which is what makes libraries get their workspaces; the second is
    recorded. Without CUDA every step runs as it is.
    """

    def __init__(self, step: Callable[[Tensor], Tensor], value: Tensor) -> None:
        self.step = step
        self.begin(value)

    def begin(self, value: Tensor) -> None:
        """Forget what was recorded, as shapes or memory are others from here on."""
        self.value = value.clone()
        self.steps = 0
        self.recorded: torch.cuda.CUDAGraph | None = None

    def run(self) -> None:
        """One step; `value` is what it returned."""
        if self.steps == 1 and self.value.device.type == "cuda":
            self._record()
        if self.recorded is None:
            self.value.copy_(self.step(self.value))
        else:
            self.recorded.replay()
        self.steps += 1

    def _record(self) -> None:
        """Recording runs nothing: memory is as before it.

        Not by `torch.cuda.graph`, which gives all memory that PyTorch keeps back to the driver first.
        """
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            graph.capture_begin(capture_error_mode="thread_local")
            try:
                self.value.copy_(self.step(self.value))
            finally:
                graph.capture_end()
        torch.cuda.current_stream().wait_stream(stream)
        self.recorded = graph
