"""Where reward goes and what becomes of it, by hand."""

from __future__ import annotations

import pytest
import torch

from policy.training.config import CreditConfig
from policy.training.credit import Credit, RunningMoments, assign_credit, shape_scores, token_rewards
from policy.training.rollout import Judged, Rollout

FINISHED = torch.tensor([True, False, True])


def plain(**changes: object) -> CreditConfig:
    return CreditConfig(**({"missing_eos_penalty": 0.0, "reward_clip": None} | changes))  # type: ignore[arg-type]


def rollout() -> Rollout:
    """One token; three tokens, cut off; two tokens."""
    mask = torch.tensor([[1, 0, 0], [1, 1, 1], [1, 1, 0]], dtype=torch.bool)
    responses = [[4], [5, 6, 7], [8, 9]]
    return Rollout([[3]] * 3, responses, FINISHED, torch.zeros(3, 3), mask)


def judged() -> Judged:
    logp = torch.tensor([[-1.0, 0, 0], [-1.0, -2.0, -3.0], [-1.0, -1.0, 0]])
    ref = torch.tensor([[-1.5, 0, 0], [-1.0, -1.0, -5.0], [-2.0, -1.0, 0]])
    values = torch.zeros(3, 3)
    return Judged(
        logp, ref, torch.zeros(3, 3), values, torch.tensor([7.0, 0.5, 7.0]), torch.tensor([1.0, 2.0, 3.0]), None
    )


def credited(of: Judged, config: CreditConfig, *, kl_coefficient: float = 0.1) -> Credit:
    return assign_credit(
        of, rollout(), kl_coefficient=kl_coefficient, moments=RunningMoments(), answers_per_prompt=1, config=config
    )


def test_score_lands_on_the_last_real_token_and_kl_on_every_one() -> None:
    rewards = token_rewards(torch.tensor([1.0, 2.0, 3.0]), judged(), rollout().mask, kl_coefficient=0.1)

    expected = torch.tensor([[1 - 0.05, 0, 0], [0, 0.1, 2 - 0.2], [-0.1, 3.0, 0]])
    torch.testing.assert_close(rewards, expected)


def test_answer_without_eos_pays_the_penalty_after_the_clip() -> None:
    config = plain(missing_eos_penalty=1.5, reward_scale=2.0, reward_clip=5.0)

    shaped, clipped = shape_scores(torch.tensor([1.0, 4.0, -3.0]), FINISHED, moments=RunningMoments(), config=config)

    assert shaped.tolist() == [2.0, 3.5, -5.0]
    assert clipped == pytest.approx(2 / 3)


def test_whitened_rewards_have_variance_one_and_keep_their_mean() -> None:
    mask, values = rollout().mask, judged()
    rewards = token_rewards(torch.tensor([1.0, 2.0, 3.0]), values, mask, kl_coefficient=0.1)
    expected = rewards / rewards[mask].std() + (rewards[mask].mean() - rewards[mask].mean() / rewards[mask].std())

    # With lambda and gamma 1 and values of 0 the first token's advantage is the sum of its answer's rewards.
    found = credited(values, plain(lam=1.0, whiten=False, whiten_rewards=True)).advantages

    torch.testing.assert_close(found[:, 0], torch.where(mask, expected, 0.0).sum(1), atol=1e-5, rtol=1e-5)


def test_disagreement_lowers_the_score_before_it_is_scaled() -> None:
    config = plain(disagreement_penalty=2.0, reward_scale=3.0)
    differing = judged()._replace(disagreement=torch.tensor([0.0, 0.5, 1.0]))

    def shaped(of: Judged) -> list[float]:
        return credited(of, config).shaped.tolist()

    assert shaped(differing) == [3.0, 3.0, 3.0]  # 3 × (1 − 0, 2 − 1, 3 − 2)
    assert shaped(judged()) == [3.0, 6.0, 9.0]


def test_running_std_counts_all_scores_so_far() -> None:
    moments, parts = RunningMoments(), (torch.tensor([1.0, 2.0, 6.0]), torch.tensor([3.0, -1.0]))
    for part in parts:
        moments.update(part)

    assert moments.mean == pytest.approx(float(torch.cat(parts).mean()))
    assert moments.std == pytest.approx(float(torch.cat(parts).std()))


def test_running_std_scales_scores() -> None:
    scores = torch.tensor([1.0, 2.0, 6.0])

    shaped, _ = shape_scores(scores, FINISHED, moments=RunningMoments(), config=plain(running_std=True))

    torch.testing.assert_close(shaped, scores / scores.std())


def test_only_cut_off_answers_are_bootstrapped() -> None:
    config = plain(whiten=False, lam=1.0, bootstrap_truncated=True)

    credit = credited(judged(), config, kl_coefficient=0.0)

    expected = torch.tensor([[1.0, 0, 0], [2.5, 2.5, 2.5], [3.0, 3.0, 0]])
    torch.testing.assert_close(credit.returns, expected)


def test_whitened_advantages_have_mean_0_and_variance_1_over_real_tokens() -> None:
    credit = credited(judged(), plain())

    real = credit.advantages[rollout().mask]
    assert float(real.mean()) == pytest.approx(0, abs=1e-6)
    assert float(real.var()) == pytest.approx(1, abs=1e-5)
    assert credit.advantages[~rollout().mask].tolist() == [0.0] * 3
