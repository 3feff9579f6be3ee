"""The training loop."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from reward.training.config import RewardConfig
from reward.training.groups import Group, load_groups
from reward.training.objective import Objective
from reward.training.reward_model import RewardModel
from reward.training.rundir import TrainingRefused
from reward.training.trainer import Progress, StepMetrics, batch_at, make_optimizer, rate_at, train


@pytest.fixture
def model(tiny: Path) -> RewardModel:
    return RewardModel.from_base(tiny, seed=0)


@pytest.fixture
def groups(model: RewardModel, groups_file: Path) -> list[Group]:
    return load_groups(groups_file, model.tokenizer, max_tokens=512).train


def run(
    model: RewardModel, groups: list[Group], config: RewardConfig, progress: Progress | None = None
) -> Iterator[StepMetrics]:
    optimizer = make_optimizer(model, config)
    return train(
        model=model,
        optimizer=optimizer,
        groups=groups,
        objective=Objective(config.objective, groups, heads=config.heads, seed=1),
        config=config,
        seed=1,
        progress=progress or Progress(),
    )


def test_forwards_of_one_two_or_all_groups_take_the_same_step(tiny: Path, groups: list[Group]) -> None:
    taken = []
    for groups_per_forward in (1, 2, 8):
        model = RewardModel.from_base(tiny, seed=0)
        config = RewardConfig(groups_per_step=5, groups_per_forward=groups_per_forward)
        step = next(run(model, groups, config))
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        taken.append((step.loss, step.grad_norm, gradient))
    for loss, norm, gradient in taken[1:]:
        assert loss == pytest.approx(taken[0][0], rel=1e-5)
        assert norm == pytest.approx(taken[0][1], rel=1e-4)
        torch.testing.assert_close(gradient, taken[0][2], rtol=1e-3, atol=1e-6)


def test_training_lowers_the_loss_and_learns_how_often_people_tie(model: RewardModel, groups: list[Group]) -> None:
    config = RewardConfig(epochs=15, groups_per_step=6, learning_rate=1e-3, head_learning_rate=1e-2)

    steps = list(run(model, groups, config))

    assert len(steps) == 30
    assert steps[-1].loss < 0.8 * steps[0].loss
    assert steps[-1].accuracy_train > 0.75
    assert steps[-1].tie_strength < 1  # ties are rarer than one in three among equals


def test_an_epoch_reads_every_group_once_and_epochs_differ(groups: list[Group]) -> None:
    config = RewardConfig(epochs=2, groups_per_step=5)
    read = [[group.prompt_id for group in batch_at(groups, step, config, seed=1)] for step in range(6)]

    assert [len(batch) for batch in read] == [5, 5, 2, 5, 5, 2]
    epochs = [[*a, *b, *c] for a, b, c in (read[:3], read[3:])]
    assert [sorted(epoch) for epoch in epochs] == [sorted(group.prompt_id for group in groups)] * 2
    assert epochs[0] != epochs[1]


def test_the_rate_rises_and_falls_and_is_never_zero() -> None:
    assert [rate_at(step, 10, 0.3) for step in range(10)] == pytest.approx(
        [1 / 4, 2 / 4, 3 / 4, 1, 6 / 7, 5 / 7, 4 / 7, 3 / 7, 2 / 7, 1 / 7]
    )
    assert rate_at(0, 1, 0.1) == 1


def test_gradients_are_clipped_and_the_norm_before_is_told(model: RewardModel, groups: list[Group]) -> None:
    step = next(run(model, groups, RewardConfig(max_grad_norm=0.01)))

    after = math.sqrt(sum(float(p.grad.square().sum()) for p in model.parameters() if p.grad is not None))
    assert step.grad_norm > 0.1
    assert after == pytest.approx(0.01, rel=1e-3)


def test_a_step_that_is_not_finite_is_skipped_and_three_in_a_row_end_the_run(
    model: RewardModel, groups: list[Group]
) -> None:
    config = RewardConfig(epochs=3, groups_per_step=6)
    progress = Progress()
    steps = run(model, groups, config, progress)
    next(steps)
    healthy = model.head_weight.detach().clone()
    with torch.no_grad():
        model.head_weight.fill_(float("inf"))
    assert [next(steps).skipped_total for _ in range(2)] == [1, 2]
    assert not model.head_weight.isfinite().any()
    with torch.no_grad():
        model.head_weight.copy_(healthy)
    assert next(steps).skipped_total == 2
    assert progress.skipped_in_row == 0
    assert not torch.equal(model.head_weight, healthy)

    with torch.no_grad():
        model.head_weight.fill_(float("nan"))
    with pytest.raises(TrainingRefused, match="3 steps in a row") as refused:
        list(run(model, groups, config))
    assert refused.value.code == "diverged"
