"""Bytes that training holds at once, part by part. Imports no torch: forms estimate with it.

Weights, gradients and AdamW's moments are float32 everywhere. D hidden size, E head size, F inner size of the MLP.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from reward.training.shape import Shape

FLOAT = 4
"""Bytes of a float32."""
MOMENTS = 2
"""AdamW's two averages of each trained parameter."""
PROGRAM_BYTES = 453 * 2**20
"""Resident memory once torch, transformers and our own code are imported: measured with torch 2.13 on a CPU."""


class Part(NamedTuple):
    """What takes `num_bytes`. is_certain: it is held from the first step on whatever the data and the batches are."""

    name: str
    num_bytes: int
    is_certain: bool = False


def peak(common: Sequence[Part], moments: Sequence[Sequence[Part]]) -> list[Part]:
    """The parts of the moment that needs most, without empty ones. Moments come one after the other."""
    greatest = max(moments, key=lambda parts: sum(part.num_bytes for part in parts))
    return [part for part in (*common, *greatest) if part.num_bytes]


def total(parts: Sequence[Part]) -> int:
    return sum(part.num_bytes for part in parts)


def certain(parts: Sequence[Part]) -> int:
    """A lower bound of what is needed: the tensors that cannot be made smaller by smaller batches."""
    return sum(part.num_bytes for part in parts if part.is_certain)


def weights(name: str, parameters: int, size: int = FLOAT) -> Part:
    return Part(name, size * parameters, is_certain=True)


def training(parameters: int) -> list[Part]:
    """Gradients and moments of what is trained."""
    return [weights("gradients", parameters), weights("moments", MOMENTS * parameters)]


def activations(shape: Shape, *, layers: int, tokens: float, repeated_keys: float = 0.0) -> int:
    """Bytes that autograd keeps of a forward pass through so many layers with gradient.

    Of each token a layer keeps 10 vectors of D or H E (residual stream, norms, query, repeated key and value, attention
    and its copy), 4 of F (gate, its SiLU, up, their product), and a number for each head and norm: a test counts them.

    Args:
        tokens: padded ones.
        repeated_keys: further tokens whose keys and values are copied, as those of a prompt behind several answers.
    """
    wide = 6 * shape.width + 4 * shape.queries + 4 * shape.inner + shape.heads + 2
    return round(FLOAT * layers * (tokens * wide + 2 * shape.queries * repeated_keys))


def greatest_of(lengths: Sequence[int], count: int) -> float:
    """The mean of the greatest of `count` lengths drawn at random: what a batch is padded to."""
    ordered, total_ = sorted(lengths), len(lengths)
    return sum(
        length * (((place + 1) / total_) ** count - (place / total_) ** count) for place, length in enumerate(ordered)
    )
