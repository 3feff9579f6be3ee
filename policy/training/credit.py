"""From scores of whole answers to advantages of tokens. B answers, R longest of them; True in a mask takes part."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from gpu_ops import whiten
from policy.training.advantages import estimate
from policy.training.config import CreditConfig
from policy.training.rollout import Judged, Rollout


@dataclass(slots=True)
class RunningMoments:
    """Mean and variance of all scores so far (Chan et al. 1979), as plain numbers so that they are saved exactly."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def update(self, values: Tensor) -> None:
        """Count values [B]."""
        new = values.double()
        mean, squares = float(new.mean()), float((new - new.mean()).square().sum())
        total = self.count + new.numel()
        delta = mean - self.mean
        self.squares += squares + delta * delta * self.count * new.numel() / total
        self.mean += delta * new.numel() / total
        self.count = total

    @property
    def std(self) -> float:
        """Unbiased; 1 while there is nothing to tell it from."""
        return math.sqrt(self.squares / (self.count - 1)) if self.count > 1 and self.squares > 0 else 1.0


class Credit(NamedTuple):
    """No gradient; 0 where masked."""

    advantages: Tensor  # [B, R] whitened where configured
    returns: Tensor  # [B, R] reward units, what a critic learns
    shaped: Tensor  # [B] reward units: less the disagreement, scaled, clipped, less a missing EOS; without KL
    clipped_share: float  # of scaled scores
    raw_advantage_std: float  # reward units, before whitening


def assign_credit(
    judged: Judged,
    rollout: Rollout,
    *,
    kl_coefficient: float,
    moments: RunningMoments,
    answers_per_prompt: int,
    config: CreditConfig,
) -> Credit:
    """r_t = -coefficient (logp_t - ref_logp_t), plus the shaped score at the last real token; advantages; whitening.

    KL is k1 at the drawn tokens, in nats: unbiased, and its gradient through the reward is that of the KL.
    The score is the heads' mean less `disagreement_penalty` times their standard deviation (Zhai et al. 2023).
    """
    scores = judged.scores
    if judged.disagreement is not None:
        scores = scores - config.disagreement_penalty * judged.disagreement
    shaped, clipped_share = shape_scores(scores, rollout.finished, moments=moments, config=config)
    rewards = token_rewards(shaped, judged, rollout.mask, kl_coefficient=kl_coefficient)
    if config.whiten_rewards:
        rewards = whiten(rewards, rollout.mask, shift_mean=False)
    found = estimate(rewards, judged, rollout, answers_per_prompt=answers_per_prompt, config=config)
    advantages = found.advantages
    std = float(advantages[rollout.mask].std()) if int(rollout.mask.sum()) > 1 else 0.0
    if config.whiten:
        advantages = whiten(advantages, rollout.mask)
    return Credit(advantages, found.returns, shaped, clipped_share, std)


def shape_scores(
    scores: Tensor, finished: Tensor, *, moments: RunningMoments, config: CreditConfig
) -> tuple[Tensor, float]:
    """Scale and clip scores [B] and take the penalty from unfinished answers; also the share that was clipped."""
    scaled = scores * config.reward_scale
    if config.running_std:
        moments.update(scores)
        scaled = scaled / moments.std
    clipped_share = 0.0
    if config.reward_clip is not None:
        clipped_share = float((scaled.abs() > config.reward_clip).float().mean())
        scaled = scaled.clamp(-config.reward_clip, config.reward_clip)
    return scaled - config.missing_eos_penalty * (~finished).to(scaled.dtype), clipped_share


def token_rewards(shaped: Tensor, judged: Judged, mask: Tensor, *, kl_coefficient: float) -> Tensor:
    """[B, R]: the KL penalty at every real token, and the score on top at the last one, EOS or not."""
    rewards = torch.where(mask, -kl_coefficient * (judged.logp - judged.ref_logp), 0.0)
    last = mask.sum(1, keepdim=True) - 1
    return rewards.scatter_add(1, last, shaped[:, None].to(rewards.dtype))
