"""A running average of the weights: what it is, and that it only stands in while it is measured."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from policy.training.average import WeightAverage
from policy.training.config import UpdateConfig
from policy.training.critic import critic_like_policy
from policy.training.tests.conftest import build_llama
from policy.training.trunk import Policy


def shifted(policy: Policy, amount: float) -> None:
    with torch.no_grad():
        for _, parameter in policy.trained():
            parameter.add_(amount)


def norm(policy: Policy) -> Tensor:
    return policy.model.model.norm.weight.detach().clone()  # type: ignore[no-any-return]


def test_average_keeps_its_share_of_itself_at_every_step() -> None:
    policy = Policy(build_llama())
    start = norm(policy)
    average = WeightAverage.start(policy, 0.75)

    for _ in range(2):
        shifted(policy, 1.0)
        average.update(policy)

    # 0.75 * (0.75 * 0 + 0.25 * 1) + 0.25 * 2
    torch.testing.assert_close(average.weights["model.model.norm.weight"], start + 0.6875)


def test_average_stands_in_and_the_policys_own_weights_come_back() -> None:
    policy = Policy(build_llama(), train_layers=1)
    start = norm(policy)
    average = WeightAverage.start(policy, 0.9)
    shifted(policy, 1.0)
    before = {name: p.detach().clone() for name, p in policy.named_parameters()}

    with average.in_place(policy):
        assert torch.equal(norm(policy), start)

    assert all(torch.equal(p, before[name]) for name, p in policy.named_parameters())


def test_own_weights_come_back_even_when_measuring_fails() -> None:
    policy = Policy(build_llama())
    average = WeightAverage.start(policy, 0.9)
    shifted(policy, 1.0)
    own = norm(policy)

    with pytest.raises(RuntimeError, match="disk"), average.in_place(policy):
        raise RuntimeError("disk")

    assert torch.equal(norm(policy), own)


def test_what_tells_values_is_not_averaged() -> None:
    model = build_llama()
    policy = Policy(model, critic=critic_like_policy(model))

    assert set(WeightAverage.start(policy, 0.9).weights) == {name for name, _ in policy.trained_model()}


def test_a_decay_beyond_one_is_refused() -> None:
    with pytest.raises(ValueError, match="average_decay"):
        UpdateConfig(average_decay=1.5)
