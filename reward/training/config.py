"""Settings of a reward-model run. Imports no torch: forms read defaults and help texts from here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from reward.training.configuration import above_zero, at_least

Pooling = Literal["last", "last-and-mean"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveConfig:
    """What is made of the things that people said."""

    likelihood: Literal["davidson", "rao-kupper", "bradley-terry", "plackett-luce"] = "davidson"
    """Davidson and Rao-Kupper give a tie a probability of its own, whose strength is learned; in Bradley-Terry a tie
    counts half for each side. Plackett-Luce takes a whole ranking at once instead of its pairs."""

    margins: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """Margin in reward units that a preference of strength 1 to 4 must exceed (Llama 2 used 0, 1/3, 2/3, 1)."""

    certainties: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    """Soft labels: how likely a preference of strength 1 to 4 is to be right; the rest counts for the other answer."""

    reliability: Literal["equal", "agreement"] = "equal"
    """Weight of each labeler. How often each names the better answer is estimated from the training rankings (Dawid and
    Skene 1979) and shown in any case; with agreement careless and hostile labelers count for little or nothing, and so
    do people who honestly see it unlike most. Where every answer has one labeler it changes nothing."""

    anchor_weight: float = 0.5
    """Weight of "none is acceptable" and "cannot be ranked" beside the preferences: such answers score below a learned
    level of acceptability, the best of the others above it. 0 leaves these words out."""

    def __post_init__(self) -> None:
        for i, margin in enumerate(self.margins):
            at_least(f"margins[{i}]", margin, 0)
        for i, certainty in enumerate(self.certainties):
            at_least(f"certainties[{i}]", certainty, 0.5)
            if certainty > 1:
                raise ValueError(f"certainties[{i}] ({certainty}) must be at most 1")
        at_least("anchor_weight", self.anchor_weight, 0)
        if self.likelihood == "plackett-luce" and (any(self.margins) or min(self.certainties) < 1):
            raise ValueError(
                f"likelihood plackett-luce ranks without strengths, so margins ({self.margins}) must be 0 and "
                f"certainties ({self.certainties}) 1"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardConfig:
    """How a reward model is trained and measured."""

    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    """What is made of the things that people said."""

    heads: int = 1
    """Heads on the same backbone, each trained on its own resample of the prompts. How far their scores lie apart says
    how unsure the model is; the score is their mean."""

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

    pooling: Pooling = "last"
    """Hidden states that the head reads of an answer: its last token's, or that and the mean over all of its tokens.
    The mean helps where an answer is good for what it says all along, as arguments are."""

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

    max_tokens: int = 1024
    """Longest prompt with answer, in tokens. A longer answer is reported and left out, never cut."""

    precision: Literal["auto", "float32", "bfloat16-autocast"] = "float32"
    """Number format of the backbone's matrix products; auto is bfloat16 where the machine multiplies it itself.
    Weights, head and loss are always float32."""

    matmul_precision: Literal["highest", "high", "medium"] = "highest"
    """Internal precision of float32 matrix products; medium allows bfloat16, much faster on some machines."""

    probe_floor: bool = True
    """Compare with a linear probe on the features of the model before training; costs a pass over all answers."""

    checkpoint_every_steps: int = 20
    """Optimizer steps between checkpoints for resuming."""

    checkpoints_kept: int = 2
    """How many of the last checkpoints stay on disk."""

    bootstrap_samples: int = 10_000
    """Resamples of the held-out prompts behind the accuracy's 95 % interval."""

    def __post_init__(self) -> None:
        counts = (
            "heads epochs groups_per_step groups_per_forward checkpoint_every_steps checkpoints_kept bootstrap_samples"
        )
        for name in counts.split():
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
        at_least("weight_decay", self.weight_decay, 0)
        if not 0 <= self.warmup_fraction < 1:
            raise ValueError(f"warmup_fraction ({self.warmup_fraction}) must be at least 0 and below 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainConfig:
    """How a score is spread over the tokens of its answer."""

    steps: int = 32
    """Points of the first integration between the baseline and the answer."""

    max_steps: int = 256
    """While the attributions miss more than `tolerance` of the difference, the points are doubled up to this many."""

    tolerance: float = 0.02
    """Completeness gap, as a share of the score's difference from the baseline, that is good enough."""

    steps_per_forward: int = 4
    """Points per forward pass: fewer need less memory; the result is the same up to rounding."""

    def __post_init__(self) -> None:
        at_least("steps", self.steps, 1)
        at_least("max_steps", self.max_steps, self.steps)
        at_least("steps_per_forward", self.steps_per_forward, 1)
        above_zero("tolerance", self.tolerance)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreConfig:
    """How a campaign's answers are scored."""

    tokens_per_forward: int = 4096
    """Tokens per forward pass, prompts counted once for the answers behind them: fewer need less memory; the result is
    the same up to rounding. A longer answer goes alone."""

    precision: Literal["auto", "float32", "bfloat16-autocast"] = "float32"
    """Number format of the backbone's matrix products; auto is bfloat16 where the machine multiplies it itself.
    Weights and heads are always float32."""

    matmul_precision: Literal["highest", "high", "medium"] = "highest"
    """Internal precision of float32 matrix products; medium allows bfloat16, much faster on some machines."""

    def __post_init__(self) -> None:
        at_least("tokens_per_forward", self.tokens_per_forward, 1)
