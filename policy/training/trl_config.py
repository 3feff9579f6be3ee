"""Settings of the runs that TRL's trainers carry out: DPO and SFT. Imports no torch: forms read them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from reward.training.configuration import above_zero, at_least


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerConfig:
    """How a batch changes the weights."""

    schedule: Literal["linear", "constant"] = "linear"
    """linear lets the learning rate fall to 0 over the run; constant keeps it."""

    warmup_steps: int = 0
    """Steps in which the learning rate rises linearly."""

    adam_betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's decay rates."""

    adam_eps: float = 1e-8
    """AdamW's epsilon."""

    weight_decay: float = 0.0
    """AdamW's decoupled weight decay."""

    max_grad_norm: float = 1.0
    """Gradients are scaled down to this global norm."""

    def __post_init__(self) -> None:
        at_least("warmup_steps", self.warmup_steps, 0)
        at_least("weight_decay", self.weight_decay, 0)
        above_zero("adam_eps", self.adam_eps)
        above_zero("max_grad_norm", self.max_grad_norm)
        for i, beta in enumerate(self.adam_betas):
            if not 0 <= beta < 1:
                raise ValueError(f"adam_betas[{i}] ({beta}) must be at least 0 and below 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class DPOConfig:
    """A DPO run."""

    beta: float = 0.1
    """How strongly the policy is held near where it started: a greater beta moves it less."""

    epochs: int = 1
    """Passes over the preferences."""

    pairs_per_step: int = 16
    """Preferences per optimizer step."""

    micro_batch_size: int = 4
    """Preferences per forward pass; fewer need less memory."""

    learning_rate: float = 5e-6
    """Peak learning rate."""

    max_tokens: int = 1024
    """Longest prompt with its answer, in tokens. Longer answers are left out, never cut."""

    eval_every: int = 20
    """Steps between measurements on the held-out preferences; they are measured at the end anyway."""

    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """How a batch changes the weights."""

    def __post_init__(self) -> None:
        above_zero("beta", self.beta)
        above_zero("learning_rate", self.learning_rate)
        for name in ("epochs", "pairs_per_step", "micro_batch_size", "max_tokens", "eval_every"):
            at_least(name, getattr(self, name), 1)
        _multiple("pairs_per_step", self.pairs_per_step, self.micro_batch_size)

    @property
    def batch_size(self) -> int:
        """Examples per optimizer step."""
        return self.pairs_per_step


@dataclass(frozen=True, slots=True, kw_only=True)
class SFTConfig:
    """A run of supervised fine-tuning on the answers that people ranked best."""

    epochs: int = 2
    """Passes over the answers."""

    answers_per_step: int = 16
    """Answers per optimizer step."""

    micro_batch_size: int = 4
    """Answers per forward pass; fewer need less memory."""

    learning_rate: float = 2e-5
    """Peak learning rate."""

    max_tokens: int = 1024
    """Longest prompt with its answer, in tokens. Longer answers are left out, never cut."""

    eval_every: int = 20
    """Steps between measurements on the best answers to held-out prompts; they are measured at the end anyway."""

    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """How a batch changes the weights."""

    def __post_init__(self) -> None:
        above_zero("learning_rate", self.learning_rate)
        for name in ("epochs", "answers_per_step", "micro_batch_size", "max_tokens", "eval_every"):
            at_least(name, getattr(self, name), 1)
        _multiple("answers_per_step", self.answers_per_step, self.micro_batch_size)

    @property
    def batch_size(self) -> int:
        """Examples per optimizer step."""
        return self.answers_per_step


def _multiple(name: str, value: int, micro_batch_size: int) -> None:
    if value % micro_batch_size:
        raise ValueError(f"{name} ({value}) must be a multiple of micro_batch_size ({micro_batch_size})")
