"""Demonstrations in the updates: the gradient of their log-likelihood, and that they are not forgotten."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from policy.training.config import CreditConfig, KLConfig, PPOConfig, UpdateConfig
from policy.training.imitation import Imitation
from policy.training.ppo import PPOState, train
from policy.training.tests.conftest import EOS, build_llama, even_share
from policy.training.trunk import Policy

PROMPTS = [[5, 6, 7], [8], [9, 10, 11, 12]]
ANSWERS = [[13, 15, EOS], [17], [19, 21, 23, 25, EOS]]


def imitation(*, coefficient: float = 2.0, per_update: int = 3, micro_batch_size: int = 2) -> Imitation:
    return Imitation(PROMPTS, ANSWERS, coefficient, per_update, micro_batch_size)


def gradients(policy: Policy) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in policy.trained() if p.grad is not None}


@pytest.mark.parametrize("train_layers", [None, 1])
@pytest.mark.parametrize("micro_batch_size", [1, 3])
def test_gradient_is_that_of_the_mean_log_likelihood_of_all_tokens(
    train_layers: int | None, micro_batch_size: int
) -> None:
    policy = Policy(build_llama(), train_layers=train_layers)
    told = imitation(micro_batch_size=micro_batch_size).backward(policy, key=(0, "test"))
    found = gradients(policy)
    policy.zero_grad(set_to_none=True)

    losses = []
    for prompt, answer in zip(PROMPTS, ANSWERS, strict=True):
        logits = policy.model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
        losses.append(torch.nn.functional.cross_entropy(logits, torch.tensor(answer), reduction="sum"))
    loss = torch.stack(losses).sum() / sum(map(len, ANSWERS))
    (2.0 * loss).backward()  # type: ignore[no-untyped-call]

    assert told == pytest.approx(float(loss), rel=1e-5)
    expected = gradients(policy)
    assert set(found) == set(expected)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-5, rtol=1e-4)


def test_a_draw_repeats_by_its_key_and_takes_nothing_twice() -> None:
    policy = Policy(build_llama())

    losses = [imitation(per_update=2).backward(policy, key=(0, "imitation", step)) for step in (1, 1, 2, 3, 4, 5)]

    assert losses[0] == losses[1]
    assert len(set(losses)) > 1
    everything = imitation(per_update=9).backward(policy, key=(0,))
    assert everything == pytest.approx(imitation().backward(policy, key=(1,)))


@pytest.mark.parametrize(("coefficient", "remembered"), [(0.0, False), (1.0, True)])
def test_demonstrations_are_not_forgotten_while_the_reward_wants_something_else(
    coefficient: float, remembered: bool
) -> None:
    config = PPOConfig(
        steps=8, answers_per_step=32, max_new_tokens=8, credit=CreditConfig(missing_eos_penalty=0.0),
        kl=KLConfig(coefficient=0.0, leash_kl_nats_per_sequence=None),
        update=UpdateConfig(epochs=4, learning_rate=3e-3, micro_batch_size=32),
    )  # fmt: skip
    policy = Policy(build_llama())
    state = PPOState.start(policy, config)
    mixed = imitation(coefficient=coefficient)

    loop = train(
        policy=policy, score=even_share, prompts=PROMPTS, eos_id=EOS, config=config, state=state, seed=0,
        imitation=mixed,
    )  # fmt: skip
    told = [step.values["imitation_loss_nats_per_token"] for step in loop]

    assert (told[-1] < told[0]) == remembered
