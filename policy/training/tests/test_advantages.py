"""Advantages without a critic, by hand."""

from __future__ import annotations

import pytest
import torch

from policy.training.advantages import estimate, leave_one_out, standardised
from policy.training.config import CreditConfig, PPOConfig, UpdateConfig
from policy.training.rollout import Judged, Rollout

GROUPS = torch.tensor([[1.0, 2.0, 6.0], [4.0, 4.0, 4.0]])


def test_rloo_takes_the_mean_of_the_others() -> None:
    expected = torch.tensor([[1 - 4.0, 2 - 3.5, 6 - 1.5], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(leave_one_out(GROUPS), expected)


def test_grpo_divides_by_the_groups_own_deviation_and_equal_answers_are_worth_nothing() -> None:
    std = 7**0.5  # of 1, 2, 6 about 3, divided by n - 1
    expected = torch.tensor([[-2 / std, -1 / std, 3 / std], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(standardised(GROUPS), expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize("estimator", ["rloo", "grpo"])
def test_all_tokens_of_an_answer_share_what_its_whole_reward_is_worth(estimator: str) -> None:
    """Two prompts of two answers; rewards at every token, and at masked ones, which do not count."""
    mask = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 1, 1], [1, 1, 0]], dtype=torch.bool)
    rewards = torch.tensor([[1.0, 2, 9], [1, 9, 9], [0, 0, 4], [1, 1, 9]])
    zeros, rows = torch.zeros(4, 3), torch.zeros(4)
    rollout = Rollout([[3]] * 4, [[4, 5], [4], [4, 5, 6], [4, 5]], torch.ones(4, dtype=torch.bool), zeros, mask)
    judged = Judged(zeros, zeros, zeros, zeros + 100, rows, rows, None)

    found = estimate(
        rewards,
        judged,
        rollout,
        answers_per_prompt=2,
        config=CreditConfig(estimator=estimator),  # type: ignore[arg-type]
    )

    by = 2.0 if estimator == "rloo" else 0.5**0.5  # each group's rewards lie 2 apart
    expected = by * torch.tensor([[1.0, 1, 0], [-1, 0, 0], [1, 1, 1], [-1, -1, 0]])
    torch.testing.assert_close(found.advantages, expected, rtol=1e-3, atol=0)
    torch.testing.assert_close(found.returns, torch.tensor([[3.0, 3, 0], [1, 0, 0], [4, 4, 4], [2, 2, 0]]))


def test_answers_without_company_are_refused() -> None:
    with pytest.raises(ValueError, match="estimator rloo compares the answers to a prompt"):
        PPOConfig(credit=CreditConfig(estimator="rloo"))
    with pytest.raises(ValueError, match="estimator rloo has no critic, so critic_warmup_steps"):
        PPOConfig(
            credit=CreditConfig(estimator="rloo"), answers_per_prompt=4, update=UpdateConfig(critic_warmup_steps=1)
        )
    PPOConfig(credit=CreditConfig(estimator="rloo"), answers_per_prompt=4)
