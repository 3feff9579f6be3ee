"""Learning rates over a run, by hand."""

from __future__ import annotations

import pytest
import torch

from policy.training.config import PPOConfig, UpdateConfig
from policy.training.schedule import rate_factor, set_learning_rates


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [1 / 3, 2 / 3, 1, 1, 1, 1, 1]),
        ("linear", [1 / 3, 2 / 3, 1, 0.775, 0.55, 0.325, 0.1]),
        ("cosine", [1 / 3, 2 / 3, 1, 0.868198, 0.55, 0.231802, 0.1]),
    ],
)
def test_rates_rise_and_then_follow_the_schedule(schedule: str, expected: list[float]) -> None:
    config = PPOConfig(steps=7, update=UpdateConfig(warmup_steps=2, schedule=schedule))  # type: ignore[arg-type]
    assert [rate_factor(config, step) for step in range(1, 8)] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_a_run_of_one_step_has_the_peak_rate(schedule: str) -> None:
    config = PPOConfig(steps=1, update=UpdateConfig(schedule=schedule))  # type: ignore[arg-type]
    assert rate_factor(config, 1) == 1


def test_policy_and_value_head_have_rates_of_their_own() -> None:
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": [weight]} for weight in weights], lr=9.0)
    config = PPOConfig(steps=4, update=UpdateConfig(warmup_steps=1, learning_rate=2e-5, value_learning_rate=1e-3))

    assert set_learning_rates(optimizer, config, 1) == pytest.approx(1e-5)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1e-5, 5e-4])
