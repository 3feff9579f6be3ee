"""LoRA: what learns, what the reference is, what is saved."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from policy.training.config import CreditConfig, KLConfig, LoRAConfig, PPOConfig, UpdateConfig
from policy.training.evaluate import Choice, Evaluation
from policy.training.ppo import PPOState, train
from policy.training.tests.conftest import EOS, build_llama, even_share
from policy.training.trunk import Policy

IDS = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]])
PROMPTS = [[3 + i, 20 + i, 40 + i] for i in range(8)]


def adapted(*, train_layers: int | None = None, sampler_dtype: torch.dtype | None = None) -> Policy:
    model = build_llama(layers=3)
    return Policy(model, train_layers=train_layers, lora=LoRAConfig(rank=4), sampler_dtype=sampler_dtype)


def hidden(policy: Policy) -> Tensor:
    return policy.top(IDS, policy.bottom(IDS)).detach()


def moved(policy: Policy) -> Policy:
    source = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for _, parameter in policy.trained_model():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=source))
    return policy


@pytest.mark.parametrize(("train_layers", "layers"), [(None, {"0", "1", "2"}), (1, {"2"})])
def test_adapters_of_the_trained_layers_and_the_value_head_learn_and_nothing_else(
    train_layers: int | None, layers: set[str]
) -> None:
    policy = adapted(train_layers=train_layers)

    names = {name for name, _ in policy.trained()} - {"value_head.weight", "value_head.bias"}

    assert {name.split(".")[3] for name in names} == layers
    assert all(".lora_A." in name or ".lora_B." in name for name in names)
    assert len(names) == len(layers) * 7 * 2
    hidden_states = policy.top(IDS, policy.bottom(IDS))
    hidden_states.sum().backward()
    assert {name for name, p in policy.named_parameters() if p.grad is not None} == names


@pytest.mark.parametrize("train_layers", [None, 1])
def test_reference_is_the_start_without_a_copy_of_it(train_layers: int | None) -> None:
    policy = adapted(train_layers=train_layers)
    start = hidden(policy)
    with torch.no_grad():
        torch.testing.assert_close(start, build_llama(layers=3).model(IDS).last_hidden_state, atol=1e-5, rtol=0)

    moved(policy)

    assert not torch.allclose(hidden(policy), start, atol=1e-2)
    assert torch.equal(policy.reference_top(IDS, policy.bottom(IDS)), start)
    assert not list(policy.reference.parameters())
    assert all(p.requires_grad for name, p in policy.named_parameters() if "lora_" in name), "they learn again after it"


def test_saved_model_is_a_plain_one_that_answers_as_the_policy_did(tmp_path: Path) -> None:
    policy = moved(adapted())
    expected = hidden(policy)

    policy.plain_model().save_pretrained(tmp_path)  # type: ignore[operator]

    read = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert set(read.state_dict()) == set(build_llama(layers=3).state_dict())
    with torch.no_grad():
        torch.testing.assert_close(read.model(IDS).last_hidden_state, expected, atol=1e-4, rtol=0)


def test_choice_of_the_start_takes_the_adapters_effect_away() -> None:
    policy, choice = adapted(), Choice(leash=None)
    start = hidden(policy)
    choice.offer(Evaluation(0, {"eval_reward": 1.0, "eval_kl_nats_per_sequence": 0.0}), policy)
    choice.offer(Evaluation(5, {"eval_reward": 0.5, "eval_kl_nats_per_sequence": 1.0}), moved(policy))

    choice.apply(policy)

    assert torch.equal(hidden(policy), start)


def test_rounded_copy_that_draws_follows_the_adapters() -> None:
    policy = adapted(sampler_dtype=torch.bfloat16)
    before = {name: p.clone() for name, p in policy.sampler().named_parameters()}

    moved(policy)

    changed = {name for name, p in policy.sampler().named_parameters() if not torch.equal(p, before[name])}
    assert changed == {name.removeprefix("model.") for name, _ in policy.trained_model()}


def test_share_of_even_tokens_rises_with_adapters() -> None:
    config = PPOConfig(
        steps=20, answers_per_step=64, max_new_tokens=8, lora=LoRAConfig(rank=8),
        update=UpdateConfig(epochs=4, learning_rate=3e-3, micro_batch_size=64),
        credit=CreditConfig(missing_eos_penalty=0.0), kl=KLConfig(coefficient=0.01, leash_kl_nats_per_sequence=None),
    )  # fmt: skip
    policy = Policy(build_llama(), lora=config.lora)
    state = PPOState.start(policy, config)

    loop = train(policy=policy, score=even_share, prompts=PROMPTS, eos_id=EOS, config=config, state=state, seed=0)
    reward = [step.values["reward_mean"] for step in loop]

    assert statistics.mean(reward[:2]) < 0.58
    assert statistics.mean(reward[-3:]) > 0.64


def test_adapters_start_from_their_seed() -> None:
    def start(seed: int) -> Tensor:
        policy = Policy(build_llama(), lora=LoRAConfig(rank=4), seed=seed)
        return next(p.detach() for name, p in policy.trained_model() if ".lora_A." in name)

    assert torch.equal(start(1), start(1))
    assert not torch.equal(start(1), start(2))


def test_a_rank_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match=r"rank \(0\) must be at least 1"):
        LoRAConfig(rank=0)
