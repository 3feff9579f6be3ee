"""The loop that trains a reward model on groups.

One step: read groups, score every answer once, compare, learn, tell. The order of the groups is a function of seed
and epoch and nothing else is random (dropout is off), so a step number is the whole data position.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from reward.training import evaluation
from reward.training.config import RewardConfig
from reward.training.groups import Group
from reward.training.objective import Objective
from reward.training.reward_model import RewardModel
from reward.training.rundir import TrainingRefused

MAX_SKIPPED_IN_A_ROW = 3


class StepMetrics(NamedTuple):
    """One optimizer step. loss: nats, mean over groups of the mean over pairs. accuracy_train: share of stated
    preferences that
    the scores before the update agree with. grad_norm: before clipping. learning_rate: the backbone's."""

    step: int
    loss: float
    accuracy_train: float
    grad_norm: float
    learning_rate: float
    tie_strength: float
    skipped_total: int
    tokens: int


@dataclass(slots=True)
class Progress:
    """What the loop remembers between steps."""

    step: int = 0
    skipped: int = 0
    skipped_in_row: int = 0


def train(
    *,
    model: RewardModel,
    optimizer: torch.optim.Optimizer,
    groups: Sequence[Group],
    objective: Objective,
    config: RewardConfig,
    seed: int,
    progress: Progress,
) -> Iterator[StepMetrics]:
    """Train from `progress.step` on and yield after every optimizer step; the model is consistent whenever it yields.

    Raises:
        TrainingRefused: `diverged`, after three steps in a row whose loss or gradient is not finite.
    """
    total = num_steps(len(groups), config)
    parameters = [p for p in model.parameters() if p.requires_grad]
    while progress.step < total:
        batch = batch_at(groups, progress.step, config, seed)
        set_learning_rates(optimizer, rate_at(progress.step, total, config.warmup_fraction))
        optimizer.zero_grad(set_to_none=True)
        loss, accuracy = _accumulate(model, batch, objective, config)
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, config.max_grad_norm))
        _learn_or_skip(optimizer, math.isfinite(loss) and math.isfinite(norm), progress)
        progress.step += 1
        yield StepMetrics(
            step=progress.step,
            loss=loss,
            accuracy_train=accuracy,
            grad_norm=norm,
            learning_rate=optimizer.param_groups[0]["lr"],
            tie_strength=model.tie_strength if objective.learns_ties else math.nan,
            skipped_total=progress.skipped,
            tokens=sum(group.prefixed().num_tokens for group in batch),
        )


def make_optimizer(model: RewardModel, config: RewardConfig) -> torch.optim.AdamW:
    """AdamW over what is trainable: backbone matrices, backbone vectors (no decay), and the head with its own rate."""
    backbone = [p for p in model.backbone.parameters() if p.requires_grad]
    head = [model.head_weight, model.log_tie, model.anchor]
    groups = [
        {
            "params": [p for p in backbone if p.dim() > 1],
            "peak": config.learning_rate,
            "weight_decay": config.weight_decay,
        },
        {"params": [p for p in backbone if p.dim() <= 1], "peak": config.learning_rate, "weight_decay": 0.0},
        {"params": head, "peak": config.head_learning_rate, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, eps=config.adam_eps)


def num_steps(num_groups: int, config: RewardConfig) -> int:
    """Optimizer steps of the whole run; the last one of an epoch may be smaller."""
    return config.epochs * -(-num_groups // config.groups_per_step)


def rate_at(step: int, total: int, warmup_fraction: float) -> float:
    """Multiplier of the peak rate for 0-based `step`: linear up over the warm-up, then linear down; never 0."""
    warmup = round(total * warmup_fraction)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return (total - step) / (total - warmup)


def set_learning_rates(optimizer: torch.optim.Optimizer, multiplier: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * multiplier


def batch_at(groups: Sequence[Group], step: int, config: RewardConfig, seed: int) -> list[Group]:
    """Groups of 0-based `step`: each epoch is a permutation drawn from seed and epoch."""
    per_epoch = -(-len(groups) // config.groups_per_step)
    epoch, position = divmod(step, per_epoch)
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    order = torch.randperm(len(groups), generator=generator).tolist()
    start = position * config.groups_per_step
    return [groups[i] for i in order[start : start + config.groups_per_step]]


def _accumulate(
    model: RewardModel, batch: Sequence[Group], objective: Objective, config: RewardConfig
) -> tuple[float, float]:
    """Gradients of a whole step, some groups at a time. Returns loss (NaN when scores are not finite) and accuracy."""
    loss, correct, stated = 0.0, 0.0, 0
    for start in range(0, len(batch), config.groups_per_forward):
        part = batch[start : start + config.groups_per_forward]
        members = model.members([group.prefixed() for group in part])
        if not members.isfinite().all():
            return float("nan"), float("nan")
        part_loss = objective.loss(members, part, model.learned, denominator=len(batch))
        part_loss.backward()  # type: ignore[no-untyped-call]
        loss += float(part_loss.detach())
        scores = members.detach().mean(dim=1).split([len(group.answers) for group in part])
        for group, values in zip(part, scores, strict=True):
            found = evaluation.hits(group.pairs, values.double().cpu().numpy())
            correct, stated = correct + found[0], stated + found[1]
    return loss, correct / stated if stated else float("nan")


def _learn_or_skip(optimizer: torch.optim.Optimizer, finite: bool, progress: Progress) -> None:
    if finite:
        optimizer.step()
        progress.skipped_in_row = 0
        return
    progress.skipped += 1
    progress.skipped_in_row += 1
    if progress.skipped_in_row >= MAX_SKIPPED_IN_A_ROW:
        message = (
            f"Training diverged: the loss or its gradient was not finite in {MAX_SKIPPED_IN_A_ROW} steps in a row. "
            "Start again with a lower learning rate or in float32."
        )
        raise TrainingRefused(message, code="diverged")
