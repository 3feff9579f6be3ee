"""The recurrence in Triton: one program a sequence, an associative scan over blocks from the right.

A token maps the state (A, v) after it to the one at it: A' = a A + b v + c, v' = d v + e. One that takes part has
a = gamma lam, b = gamma, c = r - value, d = 0, e = value; any other is the identity. Maps compose (Blelloch 1990).
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 1024


@triton.jit
def _compose(a1, b1, c1, d1, e1, a2, b2, c2, d2, e2):  # type: ignore[no-untyped-def]
    """First map 1, then map 2."""
    return a2 * a1, a2 * b1 + b2 * d1, a2 * c1 + b2 * e1 + c2, d2 * d1, d2 * e1 + e2


@triton.jit
def _advantages_kernel(  # type: ignore[no-untyped-def]
    rewards,
    values,
    mask,
    bootstrap,
    advantages_out,
    returns_out,
    R,
    GAMMA: tl.constexpr,
    LAM: tl.constexpr,
    NUM_BLOCKS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    lanes = tl.arange(0, BLOCK)
    running = tl.zeros((), tl.float64)
    following = tl.load(bootstrap + row).to(tl.float64)
    discount = tl.full((), GAMMA, tl.float64)  # an argument would be rounded to float32
    decay = tl.full((), GAMMA * LAM, tl.float64)
    for block in range(NUM_BLOCKS):
        t = R - 1 - (block * BLOCK + lanes)
        at = row * R + t
        here = tl.load(mask + at, mask=t >= 0, other=0) != 0
        value = tl.where(here, tl.load(values + at, mask=t >= 0, other=0.0).to(tl.float64), 0.0)
        reward = tl.where(here, tl.load(rewards + at, mask=t >= 0, other=0.0).to(tl.float64), 0.0)
        a = tl.where(here, decay, 1.0)
        b = tl.where(here, discount, 0.0)
        d = tl.where(here, 0.0, 1.0).to(tl.float64)
        a, b, c, d, e = tl.associative_scan((a, b, reward - value, d, value), 0, _compose)
        advantage = a * running + b * following + c
        out = tl.where(here, advantage, 0.0)
        tl.store(advantages_out + at, out.to(advantages_out.dtype.element_ty), mask=t >= 0)
        tl.store(returns_out + at, (out + value).to(returns_out.dtype.element_ty), mask=t >= 0)
        last = lanes == BLOCK - 1
        running = tl.sum(tl.where(last, advantage, 0.0), 0)
        following = tl.sum(tl.where(last, d * following + e, 0.0), 0)


def advantages(
    rewards: Tensor, values: Tensor, mask: Tensor, bootstrap: Tensor, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """As gpu_ops.scan.advantages. Compiled once for a number of blocks, not for a length."""
    found = [torch.zeros(values.shape, dtype=values.dtype, device=values.device) for _ in range(2)]
    count, length = values.shape
    if not values.numel():
        return found[0], found[1]
    block = min(BLOCK, triton.next_power_of_2(length))
    _advantages_kernel[(count,)](
        *(x.contiguous() for x in (rewards, values, mask, bootstrap)),
        *found,
        length,
        GAMMA=float(gamma),
        LAM=float(lam),
        NUM_BLOCKS=triton.cdiv(length, block),
        BLOCK=block,
    )
    return found[0], found[1]
