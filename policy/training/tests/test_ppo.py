"""The loop as a whole: it learns, it does not depend on how batches are cut, it stops where it should."""

from __future__ import annotations

import statistics

import pytest
import torch
from torch import Tensor

from policy.training.config import CreditConfig, KLConfig, PPOConfig, UpdateConfig
from policy.training.ppo import PPOState, StepMetrics, train
from policy.training.tests.conftest import EOS, VOCABULARY, build_llama, even_share
from policy.training.trunk import Policy
from reward.training.rundir import TrainingRefused

PROMPTS = [[3 + i, 20 + i, 40 + i] for i in range(8)]


def config(**changes: object) -> PPOConfig:
    settings = {"steps": 1, "answers_per_step": 8, "max_new_tokens": 8, "train_layers": None, "update": UpdateConfig()}
    return PPOConfig(**(settings | changes))  # type: ignore[arg-type]


def run(policy: Policy, settings: PPOConfig, *, seed: int = 0) -> tuple[list[StepMetrics], PPOState]:
    state = PPOState.start(policy, settings)
    loop = train(
        policy=policy, score=even_share(3), prompts=PROMPTS, eos_id=EOS, config=settings, state=state, seed=seed
    )
    return list(loop), state


def weights(policy: Policy) -> Tensor:
    return torch.cat([p.detach().flatten() for _, p in policy.trained()])


@pytest.mark.parametrize("train_layers", [None, 2])
def test_share_of_even_tokens_rises_under_ppo(train_layers: int | None) -> None:
    update = UpdateConfig(epochs=4, learning_rate=3e-3, micro_batch_size=64)
    settings = config(
        steps=20,
        answers_per_step=64,
        train_layers=train_layers,
        update=update,
        credit=CreditConfig(missing_eos_penalty=0.0),
        kl=KLConfig(coefficient=0.01, leash_kl_nats_per_sequence=None),
    )

    told, _ = run(Policy(build_llama(), train_layers=train_layers), settings)

    reward = [step.values["reward_mean"] for step in told]
    assert statistics.mean(reward[:2]) < 0.58
    assert statistics.mean(reward[-3:]) > 0.7
    assert 0 < told[-1].values["kl_nats_per_sequence"] < 10
    assert all(step.values["skipped_updates"] == 0 for step in told)
