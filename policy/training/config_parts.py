"""Groups of settings of a PPO run that other settings do not depend on. Imports no torch: forms read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reward.training.configuration import above_zero, at_least, share

MAX_SAMPLES = 16
"""More would be read by nobody; the run page shows them side by side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KLConfig:
    """How far the policy may move from the reference. Nats per sequence unless a name says per token."""

    controller: Literal["fixed", "adaptive"] = "fixed"
    """fixed keeps the coefficient; adaptive steers it so that KL stays near the target."""

    coefficient: float = 0.05
    """Reward units taken per nat of KL (k1 per token, in the reward)."""

    target_kl_nats_per_sequence: float = 6.0
    """What the adaptive controller aims at."""

    horizon_answers: int = 1000
    """Answers over which the adaptive controller corrects an error once over (at most 20 % of it counts)."""

    loss_coefficient: float = 0.0
    """Weight of KL to the reference as a term of the loss, beside the one in the reward."""

    loss_kind: Literal["k1", "k2", "k3"] = "k3"
    """Estimator of the loss term."""

    stop_update_nats_per_token: float | None = 0.2
    """End a step's updates once old and new policy are this far apart (k3, mean over tokens); empty never does."""

    leash_kl_nats_per_sequence: float | None = 12.0
    """A checkpoint beyond this is never chosen, and a rollout beyond it ends the run; empty never does."""

    def __post_init__(self) -> None:
        for name in ("coefficient", "loss_coefficient"):
            at_least(name, getattr(self, name), 0)
        above_zero("target_kl_nats_per_sequence", self.target_kl_nats_per_sequence)
        at_least("horizon_answers", self.horizon_answers, 1)
        for name in ("stop_update_nats_per_token", "leash_kl_nats_per_sequence"):
            if getattr(self, name) is not None:
                above_zero(name, getattr(self, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoRAConfig:
    """Low-rank adapters in place of the weights themselves."""

    rank: int | None = None
    """Train adapters of this rank beside the matrices of the trained layers, which then stay as they are, like all
    other weights. The reference is the policy without them, so there is no second copy, and optimizer and gradients
    need hardly any memory. They want a learning rate about ten times higher. Empty trains the weights."""

    alpha: float = 32.0
    """What an adapter adds is multiplied by this over its rank."""

    def __post_init__(self) -> None:
        if self.rank is not None:
            at_least("rank", self.rank, 1)
        above_zero("alpha", self.alpha)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditConfig:
    """From scores to advantages."""

    estimator: Literal["gae", "rloo", "grpo"] = "gae"
    """What tells how much better an answer is than expected: gae asks the value head at every token; rloo and grpo
    compare the answers to a prompt with each other, so they need several and no value head. rloo takes the mean of the
    others from an answer's reward; grpo takes the mean of all and divides by their standard deviation."""

    missing_eos_penalty: float = 1.0
    """Reward units taken from an answer that was cut off before EOS."""

    disagreement_penalty: float = 0.0
    """Taken from a score for each unit by which the reward model's heads differ (their standard deviation), before
    scaling; it needs a reward model with several heads. About 1 keeps the policy where the heads agree."""

    reward_scale: float = 1.0
    """Scores are multiplied by this."""

    reward_clip: float | None = 5.0
    """Scaled scores are held within plus or minus this; empty does not clip."""

    whiten_rewards: bool = False
    """Scale the rewards of tokens, KL included, to variance 1 over the rollout before credit is assigned; their mean
    stays. Values are then in those units, which differ from step to step."""

    running_std: bool = False
    """Also divide scores by their standard deviation over the run so far."""

    gamma: float = 1.0
    """Discount per token."""

    lam: float = 0.95
    """GAE's lambda."""

    whiten: bool = True
    """Shift and scale advantages to mean 0 and variance 1 over the rollout's real tokens."""

    bootstrap_truncated: bool = False
    """Count the value estimate after the last token of an answer that was cut off."""

    def __post_init__(self) -> None:
        for name in ("missing_eos_penalty", "disagreement_penalty"):
            at_least(name, getattr(self, name), 0)
        above_zero("reward_scale", self.reward_scale)
        if self.reward_clip is not None:
            above_zero("reward_clip", self.reward_clip)
        for name in ("gamma", "lam"):
            share(name, getattr(self, name))

    @property
    def has_critic(self) -> bool:
        """Whether the value head is asked, and so trained."""
        return self.estimator == "gae"


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardConfig:
    """When to end early. The weights that were chosen so far are kept; the KL leash is among the KL settings."""

    patience_evaluations: int | None = None
    """End once so many measurements on the validation prompts in a row found no better weights; empty never does."""

    length_factor: float | None = None
    """End once answers to validation prompts are longer or shorter than at the start by more than this factor: a reward
    model is easily pleased by length. 2 is a tolerant choice; empty never does."""

    def __post_init__(self) -> None:
        if self.patience_evaluations is not None:
            at_least("patience_evaluations", self.patience_evaluations, 1)
        if self.length_factor is not None and self.length_factor <= 1:
            raise ValueError(f"length_factor ({self.length_factor}) must be above 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepConfig:
    """What stays of a run to be resumed from and looked at."""

    checkpoints: int = 2
    """How many of the last checkpoints for resuming stay on disk; each also holds the best weights so far."""

    samples: int = 4
    """Validation prompts, from the first on, whose answers at each measurement are kept and shown beside the answers
    from before training; 0 keeps none."""

    def __post_init__(self) -> None:
        at_least("checkpoints", self.checkpoints, 1)
        if not 0 <= self.samples <= MAX_SAMPLES:
            raise ValueError(f"samples ({self.samples}) must be from 0 to {MAX_SAMPLES}")
