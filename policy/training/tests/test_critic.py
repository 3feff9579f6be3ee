"""A value network of its own: from a copy of the policy, or of the reward model."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
import torch
from torch import Tensor

from policy.training.config import CreditConfig, KLConfig, PPOConfig, UpdateConfig
from policy.training.critic import critic_from_reward_model, critic_like_policy
from policy.training.ppo import PPOState, train
from policy.training.rollout import judge, make_micro_batch, make_rollout
from policy.training.sampling import Answer
from policy.training.tests.conftest import EOS, build_llama, even_share
from policy.training.trunk import Policy
from reward.training.config import Pooling
from reward.training.packing import Prefixed
from reward.training.reward_model import RewardModel
from tests.tiny import build_tiny_model

PROMPTS = [[3 + i, 20 + i, 40 + i] for i in range(8)]


def with_critic(*, seed: int = 0, train_layers: int | None = None) -> Policy:
    model = build_llama(seed=seed)
    return Policy(model, train_layers=train_layers, critic=critic_like_policy(model, train_layers=train_layers))


def settings(**changes: object) -> PPOConfig:
    given: dict[str, object] = {
        "steps": 1, "answers_per_step": 8, "max_new_tokens": 8, "value_network": "separate",
        "credit": CreditConfig(missing_eos_penalty=0.0),
        "kl": KLConfig(coefficient=0.01, leash_kl_nats_per_sequence=None),
    }  # fmt: skip
    return PPOConfig(**(given | changes))  # type: ignore[arg-type]


def reward_model(folder: Path, *, pooling: Pooling = "last") -> RewardModel:
    model = RewardModel.from_base(build_tiny_model(folder), seed=1, heads=2, pooling=pooling)
    with torch.no_grad():
        model.head_bias.copy_(torch.tensor([0.25, -0.75]))
    return model


def flat(parameters: dict[str, Tensor]) -> Tensor:
    return torch.cat([value.flatten() for value in parameters.values()])


def test_share_of_even_tokens_rises_and_the_value_network_learns_what_it_will_be() -> None:
    config = settings(
        steps=20, answers_per_step=64, update=UpdateConfig(epochs=4, learning_rate=3e-3, micro_batch_size=64)
    )
    policy = with_critic()
    state = PPOState.start(policy, config)

    loop = train(policy=policy, score=even_share, prompts=PROMPTS, eos_id=EOS, config=config, state=state, seed=0)
    told = [step.values for step in loop]

    assert statistics.mean(step["reward_mean"] for step in told[:2]) < 0.58
    assert statistics.mean(step["reward_mean"] for step in told[-3:]) > 0.85
    assert told[-1]["value_loss"] < told[0]["value_loss"] / 10
    assert statistics.mean(step["explained_variance"] for step in told[-5:]) > 0, "the critic must not harm"


@pytest.mark.parametrize("train_layers", [None, 1])
def test_value_loss_reaches_its_own_network_alone(train_layers: int | None) -> None:
    config = settings(
        train_layers=train_layers,
        update=UpdateConfig(critic_warmup_steps=1, learning_rate=1e-2),
    )
    policy = with_critic(train_layers=train_layers)
    state = PPOState.start(policy, config)
    before = {name: p.detach().clone() for name, p in policy.named_parameters()}

    list(train(policy=policy, score=even_share, prompts=PROMPTS, eos_id=EOS, config=config, state=state, seed=0))

    changed = {name for name, p in policy.named_parameters() if not torch.equal(p, before[name])}
    # The head starts at zero, so in the first update nothing flows below it.
    assert {name.split(".")[0] for name in changed} == {"value_head", "value_trunk"}
    trained = {name for name, _ in policy.trained()}
    assert changed <= trained
    frozen = {name for name in before if name.startswith("value_trunk")} - trained
    assert bool(frozen) == (train_layers is not None)
    assert not any("layers.1." in name or ".norm." in name for name in frozen)


@pytest.mark.parametrize("size", [1, 3])
def test_micro_batch_size_changes_nothing(size: int) -> None:
    def after(micro_batch_size: int) -> tuple[Tensor, dict[str, float]]:
        policy, update = with_critic(), UpdateConfig(epochs=2, learning_rate=1e-3, micro_batch_size=micro_batch_size)
        config = settings(steps=2, update=update)
        state = PPOState.start(policy, config)
        loop = train(policy=policy, score=even_share, prompts=PROMPTS, eos_id=EOS, config=config, state=state, seed=0)
        told = [step.values for step in loop][-1]
        return flat({name: p.detach() for name, p in policy.trained()}), told

    whole, told_whole = after(8)
    cut, told_cut = after(size)
    torch.testing.assert_close(cut, whole, atol=2e-4, rtol=0)
    for name in ("value_loss", "policy_loss", "explained_variance"):
        assert told_cut[name] == pytest.approx(told_whole[name], abs=1e-3)


def test_a_large_value_gradient_does_not_shorten_the_policys_step() -> None:
    def moved(value_coefficient: float) -> Tensor:
        policy, update = with_critic(), UpdateConfig(epochs=1, max_grad_norm=0.1, value_coefficient=value_coefficient)
        config = settings(update=update)
        start = flat({name: p.detach().clone() for name, p in policy.trained_model()})
        state = PPOState.start(policy, config)
        list(train(policy=policy, score=even_share, prompts=PROMPTS, eos_id=EOS, config=config, state=state, seed=0))
        return flat({name: p.detach() for name, p in policy.trained_model()}) - start

    assert torch.equal(moved(0.1), moved(1000.0))


def test_copy_of_the_reward_model_starts_with_its_opinion_of_the_answer_so_far(tmp_path: Path) -> None:
    reward = reward_model(tmp_path)
    model = build_llama()
    policy = Policy(model, critic=critic_from_reward_model(reward, scale=2.0))
    prompts, answers = [[5, 6, 7], [8]], [Answer([13, 14, 1], "stop", [0.0] * 3), Answer([15], "length", [0.0])]
    rollout = make_rollout(prompts, answers, torch.device("cpu"))
    batches = [make_micro_batch(policy, rollout, torch.tensor([1, 0]), keep_last=True)]

    judged = judge(policy, rollout, batches, torch.zeros(2, 1), temperature=1.0, keep_last=True)

    with torch.no_grad():
        scores = reward.score([Prefixed(p, [a.token_ids]) for p, a in zip(prompts, answers, strict=True)])
        first_two = reward.score([Prefixed(prompts[0], [[13, 14]])])
    torch.testing.assert_close(judged.last_values, 2 * scores, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(judged.values[0, 2], 2 * first_two[0], atol=1e-5, rtol=1e-5)


def test_reward_model_is_left_as_it_was(tmp_path: Path) -> None:
    reward = reward_model(tmp_path)
    groups = [Prefixed([5, 6], [[13, 14, 1], [15, 1]])]
    with torch.no_grad():
        before = reward.score(groups)
        critic = critic_from_reward_model(reward, scale=1.0)
        next(critic.trunk.parameters()).add_(1.0)

        assert torch.equal(reward.score(groups), before)


def test_reward_model_that_reads_a_mean_cannot_tell_the_value_of_a_token(tmp_path: Path) -> None:
    reward = reward_model(tmp_path, pooling="last-and-mean")

    with pytest.raises(ValueError, match="reads the last token alone, not last-and-mean"):
        critic_from_reward_model(reward, scale=1.0)


def test_without_a_critic_there_is_no_value_network() -> None:
    with pytest.raises(ValueError, match=r"rloo has no critic, so value_network \(separate\) must be shared"):
        settings(credit=CreditConfig(estimator="rloo"), answers_per_prompt=4)
