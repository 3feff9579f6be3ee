"""What every implementation is given and gives back. T tokens, D hidden, V vocabulary."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

CLIP = 0.2
ENTROPY_COEF = 0.01
WEIGHT_STD = 0.05  # with hidden ~ N(0, 1), logits have a standard deviation of WEIGHT_STD * sqrt(D): 1.2 at D = 576
PROMPT_SHARE = 0.4
SEQUENCES = 4


class Size(NamedTuple):
    tokens: int
    hidden: int
    vocabulary: int

    @classmethod
    def parse(cls, text: str) -> Size:
        parts = text.lower().split("x")
        if len(parts) != 3 or not all(part.isdecimal() and int(part) > 0 for part in parts):
            raise ValueError(f"a size is TxDxV, such as 512x576x49152, not {text!r}")
        return cls(*map(int, parts))

    def __str__(self) -> str:
        return "x".join(map(str, self))


class Problem(NamedTuple):
    hidden: Tensor  # [T, D], a leaf with gradient
    weight: Tensor  # [V, D], a leaf with gradient
    ids: Tensor  # [T] int64
    old_logp: Tensor  # [T] float32, nats
    advantages: Tensor  # [T] float32
    answers: Tensor  # [T] bool, True takes part: the last 60 % of each of four sequences. Only one row uses it.


class Scored(NamedTuple):
    """An implementation's forward pass; None where it does not say."""

    loss: Tensor | None = None  # scalar
    logp: Tensor | None = None  # [T]
    entropy: Tensor | None = None  # [T]


class Outcome(NamedTuple):
    """One run of a pass."""

    logp: Tensor | None = None  # [T]
    entropy: Tensor | None = None  # [T]
    d_hidden: Tensor | None = None  # [T, D]
    d_weight: Tensor | None = None  # [V, D]

    def num_bytes(self) -> int:
        return sum(x.numel() * x.element_size() for x in self if x is not None)


Forward = Callable[[Problem], Scored]
Objective = Callable[[Tensor, Tensor, Problem], Tensor]
"""Scalar loss from logp [T] and entropy [T]."""


def make_problem(size: Size, device: str, dtype: torch.dtype, seed: int = 0) -> Problem:
    """Random data of real scale; old_logp is a placeholder until `with_old_logp`."""
    random = torch.Generator(device).manual_seed(seed)
    tokens, width, vocabulary = size
    hidden = torch.randn(tokens, width, generator=random, device=device, dtype=dtype)
    weight = torch.randn(vocabulary, width, generator=random, device=device, dtype=dtype).mul_(WEIGHT_STD)
    place = torch.arange(tokens, device=device) % max(tokens // SEQUENCES, 1)
    return Problem(
        hidden=hidden.requires_grad_(),
        weight=weight.requires_grad_(),
        ids=torch.randint(0, vocabulary, (tokens,), generator=random, device=device),
        old_logp=torch.full((tokens,), -float(torch.tensor(float(vocabulary)).log()), device=device),
        advantages=torch.randn(tokens, generator=random, device=device),
        answers=place >= int(PROMPT_SHARE * max(tokens // SEQUENCES, 1)),
    )


def with_old_logp(problem: Problem, logp: Tensor) -> Problem:
    """A sampling policy a little away from the current one: ratios of e^±0.1 or so, a few per cent of them clipped."""
    random = torch.Generator(logp.device).manual_seed(1)
    offset = 0.1 * torch.randn(logp.shape[0], generator=random, device=logp.device)
    return problem._replace(old_logp=logp.float() - offset)


def logp_objective(logp: Tensor, entropy: Tensor, problem: Problem) -> Tensor:
    """A different upstream for each token, as DPO and REINFORCE have, and one for the entropy."""
    return (-problem.advantages * logp - ENTROPY_COEF * entropy).sum() / logp.shape[0]


def ppo_objective(logp: Tensor, entropy: Tensor, problem: Problem) -> Tensor:
    return clip_objective(logp, entropy, problem) - ENTROPY_COEF * entropy.sum() / logp.shape[0]


def clip_objective(logp: Tensor, entropy: Tensor, problem: Problem) -> Tensor:
    """PPO without the entropy bonus."""
    ratio = (logp - problem.old_logp).exp()
    gain = torch.minimum(problem.advantages * ratio, problem.advantages * ratio.clamp(1 - CLIP, 1 + CLIP))
    return -gain.sum() / logp.shape[0]


def cross_entropy_objective(logp: Tensor, entropy: Tensor, problem: Problem) -> Tensor:
    return -logp.mean()
