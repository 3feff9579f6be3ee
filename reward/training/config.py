"""Settings of a reward-model run. Imports no torch: forms read defaults and help texts from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reward.training.configuration import above_zero, at_least


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardConfig:
    """How a reward model is trained and measured."""

    epochs: int = 1
    """Passes over the training prompts. More than one memorises people's rankings quickly."""

    groups_per_step: int = 8
    """Prompts per optimizer step; all answers of a prompt go together."""

    groups_per_forward: int = 8
    """Prompts per forward pass: fewer need less memory; the result is the same up to rounding."""

    learning_rate: float = 1e-5
    """Peak learning rate of the backbone, reached after the warm-up."""

    head_learning_rate: float = 1e-3
    """Peak learning rate of the new scalar head and of the tie strength, which start from nothing."""

    head_init_std: float | None = None
    """Standard deviation of the new head's weights; empty is 1/sqrt(hidden size + 1). With few prompts take 0: what a
    random head says of an answer is noise that a short training does not unlearn."""

    probe_l2: float | None = None
    """Start the head as a linear probe, fitted to the rankings on frozen features with this penalty on its squared
    norm; empty starts it at random. With few rankings 1 is a good penalty."""

    backbone_layers: int | None = None
    """Keep only the first so many transformer layers and read the score there; empty keeps all. The middle layers of a
    language model often know more about an answer than the last ones, and cost less."""

    warmup_fraction: float = 0.1
    """Share of the steps in which the learning rate rises linearly; then it falls linearly to zero."""

    weight_decay: float = 0.0
    """AdamW's decoupled weight decay, on the backbone's matrices only."""

    adam_eps: float = 1e-5
    """AdamW's epsilon."""

    max_grad_norm: float = 1.0
    """Gradients are scaled down to this global norm."""

    train_layers: int | None = None
    """Train only the last so many transformer layers and the head; empty trains everything. Fewer are much cheaper."""

    margins: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """Margin in reward units that a preference of strength 1 to 4 must exceed (Llama 2 used 0, 1/3, 2/3, 1)."""

    max_tokens: int = 1024
    """Longest prompt with answer, in tokens. A longer answer is reported and left out, never cut."""

    precision: Literal["auto", "float32", "bfloat16-autocast"] = "float32"
    """Number format of the backbone's matrix products; auto is bfloat16 where the machine multiplies it itself.
    Weights, head and loss are always float32."""

    matmul_precision: Literal["highest", "high", "medium"] = "highest"
    """Internal precision of float32 matrix products; medium allows bfloat16, much faster on some machines."""

    checkpoint_every_steps: int = 20
    """Optimizer steps between checkpoints for resuming."""

    bootstrap_samples: int = 10_000
    """Resamples of the held-out prompts behind the accuracy's 95 % interval."""

    def __post_init__(self) -> None:
        for name in ("epochs", "groups_per_step", "groups_per_forward", "checkpoint_every_steps", "bootstrap_samples"):
            at_least(name, getattr(self, name), 1)
        at_least("max_tokens", self.max_tokens, 2)
        if self.head_init_std is not None:
            at_least("head_init_std", self.head_init_std, 0)
        if self.probe_l2 is not None:
            above_zero("probe_l2", self.probe_l2)
        if self.backbone_layers is not None:
            at_least("backbone_layers", self.backbone_layers, 1)
        if self.train_layers is not None:
            at_least("train_layers", self.train_layers, 0)
        for name in ("learning_rate", "head_learning_rate", "adam_eps", "max_grad_norm"):
            above_zero(name, getattr(self, name))
        for name, value in (
            ("weight_decay", self.weight_decay),
            *((f"margins[{i}]", m) for i, m in enumerate(self.margins)),
        ):
            at_least(name, value, 0)
        if not 0 <= self.warmup_fraction < 1:
            raise ValueError(f"warmup_fraction ({self.warmup_fraction}) must be at least 0 and below 1")
