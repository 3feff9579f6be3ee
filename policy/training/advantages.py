"""How much better each token turned out than expected, in three ways. B answers, R longest of them, G answers a prompt.

The critic's estimate differs from token to token; without a critic the other answers to the same prompt say what could
be expected, and all tokens of an answer share its advantage.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gpu_ops import gae
from policy.training.config import CreditConfig
from policy.training.rollout import Judged, Rollout

LEAST_STD = 1e-4
"""Added to a group's standard deviation, so that equally good answers have advantages of 0 and not 0/0."""


class Estimate(NamedTuple):
    """advantages, returns: [B, R], 0 where masked; returns in reward units."""

    advantages: Tensor
    returns: Tensor


def estimate(
    rewards: Tensor, judged: Judged, rollout: Rollout, *, answers_per_prompt: int, config: CreditConfig
) -> Estimate:
    """Advantages by the estimator that the config names, of rewards [B, R] in reward units."""
    if config.estimator == "gae":
        return _by_critic(rewards, judged, rollout, config)
    whole = torch.where(rollout.mask, rewards, 0.0).sum(dim=1)
    groups = whole.view(-1, answers_per_prompt)
    advantages = {"rloo": leave_one_out, "grpo": standardised}[config.estimator](groups).flatten()
    return Estimate(*(torch.where(rollout.mask, each[:, None], 0.0) for each in (advantages, whole)))


def leave_one_out(groups: Tensor) -> Tensor:
    """[P, G] of whole rewards [P, G]: each less the mean of the others (Kool et al. 2019, Ahmadian et al. 2024)."""
    others = groups.shape[1] - 1
    return (groups - groups.mean(dim=1, keepdim=True)) * (groups.shape[1] / others)


def standardised(groups: Tensor) -> Tensor:
    """[P, G] of whole rewards [P, G]: less the group's mean, over its standard deviation (Shao et al. 2024, 4.1.2)."""
    return (groups - groups.mean(dim=1, keepdim=True)) / (groups.std(dim=1, keepdim=True) + LEAST_STD)


def _by_critic(rewards: Tensor, judged: Judged, rollout: Rollout, config: CreditConfig) -> Estimate:
    bootstrap = None
    if config.bootstrap_truncated:
        assert judged.last_values is not None
        bootstrap = judged.last_values.masked_fill(rollout.finished, 0.0)
    found = gae(rewards, judged.values, rollout.mask, gamma=config.gamma, lam=config.lam, bootstrap=bootstrap)
    return Estimate(found.advantages, found.returns)
