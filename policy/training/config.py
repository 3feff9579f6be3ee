"""Settings of a PPO run. Imports no torch: forms read them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from policy.training.config_parts import CreditConfig, GuardConfig, KeepConfig, KLConfig, LoRAConfig
from policy.training.sample_config import MatmulPrecision, WeightFormat
from reward.training.configuration import above_zero, at_least, share

__all__ = ["CreditConfig", "GuardConfig", "KLConfig", "KeepConfig", "LoRAConfig", "PPOConfig", "UpdateConfig"]

ValueNetwork = Literal["shared", "separate", "reward-model"]
Precision = Literal["auto", "float32", "bfloat16-autocast"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateConfig:
    """How a rollout changes the weights."""

    epochs: int = 2
    """Passes over each rollout."""

    mini_batches: int = 1
    """Optimizer steps per epoch."""

    micro_batch_size: int = 16
    """Answers per forward pass: fewer need less memory; the result is the same up to rounding."""

    learning_rate: float = 3e-5
    """Peak learning rate of the policy."""

    value_learning_rate: float = 1e-3
    """Peak learning rate of the value head, which starts at zero."""

    warmup_steps: int = 0
    """PPO steps in which the learning rates rise linearly."""

    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """How the learning rates go on after the rise: they stay, or fall to a tenth over the rest of the run."""

    adam_eps: float = 1e-5
    """AdamW's epsilon."""

    adam_betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's decay rates."""

    weight_decay: float = 0.0
    """AdamW's decoupled weight decay."""

    max_grad_norm: float = 1.0
    """Gradients are scaled down to this global norm."""

    clip_low: float = 0.2
    """The ratio of new to old probability counts down to 1 minus this."""

    clip_high: float = 0.2
    """The ratio counts up to 1 plus this."""

    dual_clip: float | None = None
    """Bound of the loss for negative advantages, above 1 + clip_high; empty is off."""

    value_clip: float | None = 0.2
    """How far a value may move from its old value within a step, in reward units; empty is off."""

    value_coefficient: float = 0.1
    """Weight of the value loss, whose gradient also reaches the shared trunk."""

    critic_warmup_steps: int = 0
    """PPO steps at the start in which only the value head learns, so that the first advantages are not noise."""

    entropy_coefficient: float = 0.0
    """Reward for entropy, per nat."""

    imitation_coefficient: float = 0.0
    """Weight of -log p, a mean over tokens, of the answers that people ranked best, beside PPO's loss (PTX). They come
    from the reward model's snapshot, in each update as many as a mini-batch has answers. InstructGPT had 27.8."""

    average_decay: float | None = None
    """Measure and keep a running average of the weights instead of the last ones: after every PPO step it keeps this
    share of itself and takes the rest from the weights. InstructGPT had 0.992 over far longer runs; empty is off."""

    def __post_init__(self) -> None:
        for name in ("epochs", "mini_batches", "micro_batch_size"):
            at_least(name, getattr(self, name), 1)
        for name in ("learning_rate", "value_learning_rate", "adam_eps", "max_grad_norm"):
            above_zero(name, getattr(self, name))
        for name in (
            "warmup_steps",
            "critic_warmup_steps",
            "weight_decay",
            "value_coefficient",
            "entropy_coefficient",
            "imitation_coefficient",
            "clip_high",
        ):
            at_least(name, getattr(self, name), 0)
        if self.average_decay is not None:
            share("average_decay", self.average_decay)
        if not 0 <= self.clip_low < 1:
            raise ValueError(f"clip_low ({self.clip_low}) must be at least 0 and below 1")
        if self.value_clip is not None:
            above_zero("value_clip", self.value_clip)
        if self.dual_clip is not None and self.dual_clip <= 1 + self.clip_high:
            raise ValueError(f"dual_clip ({self.dual_clip}) must be above 1 + clip_high ({1 + self.clip_high})")


@dataclass(frozen=True, slots=True, kw_only=True)
class PPOConfig:
    """A PPO run."""

    steps: int = 20
    """PPO steps: each draws one rollout and learns from it."""

    answers_per_step: int = 16
    """Answers per rollout."""

    answers_per_prompt: int = 1
    """Answers to the same prompt within a rollout."""

    max_new_tokens: int = 48
    """Longest answer, in tokens, EOS included."""

    max_prompt_tokens: int = 512
    """Longest prompt, in tokens. A longer one is refused, never cut."""

    temperature: float = 1.0
    """Sampling temperature; every log-probability is taken at it."""

    train_layers: int | None = None
    """Train only the last so many transformer layers and the final norm; empty trains everything."""

    value_network: ValueNetwork = "shared"
    """Where the value head reads. shared: the policy's own hidden states, at hardly any cost. separate: a second
    network that starts as a copy of the policy. reward-model: a second network that starts as a copy of the reward
    model, with its opinion. A second network learns at the policy's rate and doubles time and memory."""

    precision: Precision = "float32"
    """Number format of the trunk's matrix products; auto is bfloat16 where the machine multiplies it itself. Weights,
    head and loss are always float32."""

    matmul_precision: MatmulPrecision = "highest"
    """Internal precision of float32 matrix products; medium allows bfloat16, much faster on some machines."""

    rollout_weights: WeightFormat = "float32"
    """Number format of the weights that draw answers; bfloat16 draws from a rounded copy, and auto does so where the
    machine multiplies it itself."""

    eval_every: int = 5
    """PPO steps between measurements on the validation prompts."""

    eval_answers_per_prompt: int = 1
    """Answers per validation prompt and measurement, drawn with the same random numbers each time."""

    checkpoint_every_steps: int = 5
    """PPO steps between checkpoints for resuming."""

    lora: LoRAConfig = field(default_factory=LoRAConfig)
    """Low-rank adapters in place of the weights themselves."""

    kl: KLConfig = field(default_factory=KLConfig)
    """How far the policy may move from the reference."""

    credit: CreditConfig = field(default_factory=CreditConfig)
    """From scores to advantages."""

    update: UpdateConfig = field(default_factory=UpdateConfig)
    """How a rollout changes the weights."""

    guard: GuardConfig = field(default_factory=GuardConfig)
    """When to end before the last step."""

    keep: KeepConfig = field(default_factory=KeepConfig)
    """What stays of a run to be resumed from and looked at."""

    def __post_init__(self) -> None:
        counts = "steps answers_per_step answers_per_prompt max_new_tokens max_prompt_tokens"
        for name in f"{counts} eval_every eval_answers_per_prompt checkpoint_every_steps".split():
            at_least(name, getattr(self, name), 1)
        above_zero("temperature", self.temperature)
        if self.train_layers is not None:
            at_least("train_layers", self.train_layers, 1)
        if self.answers_per_step % self.answers_per_prompt:
            raise ValueError(
                f"answers_per_step ({self.answers_per_step}) must be a multiple of"
                f" answers_per_prompt ({self.answers_per_prompt})"
            )
        if not self.credit.has_critic and self.answers_per_prompt < 2:
            raise ValueError(
                f"estimator {self.credit.estimator} compares the answers to a prompt with each other, so "
                f"answers_per_prompt ({self.answers_per_prompt}) must be at least 2"
            )
        if not self.credit.has_critic and self.update.critic_warmup_steps:
            raise ValueError(
                f"estimator {self.credit.estimator} has no critic, so critic_warmup_steps"
                f" ({self.update.critic_warmup_steps}) must be 0"
            )
        if not self.credit.has_critic and self.value_network != "shared":
            raise ValueError(
                f"estimator {self.credit.estimator} has no critic, so value_network"
                f" ({self.value_network}) must be shared"
            )
        if self.update.mini_batches > self.answers_per_step:
            raise ValueError(
                f"mini_batches ({self.update.mini_batches}) must be at most answers_per_step ({self.answers_per_step})"
            )

    @property
    def prompts_per_step(self) -> int:
        """Prompts in a rollout."""
        return self.answers_per_step // self.answers_per_prompt
