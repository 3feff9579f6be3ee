"""Learning rates over a run."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from policy.training.config import PPOConfig

FINAL = 0.1
"""Share of the peak rate that a falling schedule ends at."""

SHAPES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "linear": lambda done: 1 - done,
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
}
"""From 1 down to 0 as `done` goes from 0 to 1."""


def rate_factor(config: PPOConfig, step: int) -> float:
    """Multiplier of the peak rates at PPO step `step`, which counts from 1: a linear rise, then the schedule."""
    update = config.update
    if step <= update.warmup_steps:
        return step / (update.warmup_steps + 1)
    falling = config.steps - update.warmup_steps - 1
    done = (step - update.warmup_steps - 1) / falling if falling > 0 else 0.0
    return FINAL + (1 - FINAL) * SHAPES[update.schedule](done)


def set_learning_rates(optimizer: torch.optim.Optimizer, config: PPOConfig, step: int) -> float:
    """Give the optimizer's groups (of the policy all but the last, of the value head the last) their rates.

    Returns the policy's.
    """
    factor = rate_factor(config, step)
    rate = config.update.learning_rate * factor
    *of_policy, of_head = optimizer.param_groups
    for group in of_policy:
        group["lr"] = rate
    of_head["lr"] = config.update.value_learning_rate * factor
    return rate
