"""An update from the recorded rollout against a loop in float64 that is written from the formulas.

The loop shares no code with the product: it reads the file, walks over answers and tokens, and asks plain transformers
for logits. Loss, approximate KL, clip fraction and every gradient have to agree.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from policy.training.config import CreditConfig, KLConfig, PPOConfig, UpdateConfig
from policy.training.credit import RunningMoments, assign_credit
from policy.training.learn import Terms, _accumulate
from policy.training.rollout import Judged, Rollout, make_micro_batch
from policy.training.tests.conftest import build_llama
from policy.training.tests.record_rollout import FILE
from policy.training.trunk import Policy

KL_COEFFICIENT = 0.07
CONFIG = PPOConfig(
    temperature=0.9,
    kl=KLConfig(coefficient=KL_COEFFICIENT),
    credit=CreditConfig(missing_eos_penalty=0.5, reward_clip=0.9, reward_scale=1.5),
    update=UpdateConfig(clip_low=0.15, clip_high=0.25, value_clip=0.1, value_coefficient=0.3),
)


class Recorded(NamedTuple):
    prompts: list[list[int]]
    responses: list[list[int]]
    tensors: dict[str, Tensor]


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    tensors = load_file(FILE)
    prompts, responses = (
        [part.tolist() for part in tensors[name].split(tensors[lengths].tolist())]
        for name, lengths in (("prompts", "prompt_lengths"), ("responses", "response_lengths"))
    )
    return Recorded(prompts, responses, tensors)


def policy_of(recorded: Recorded) -> Policy:
    policy = Policy(build_llama())
    with torch.no_grad():
        for name, parameter in policy.trained():
            parameter.copy_(recorded.tensors[f"weights|{name}"])
    return policy


def ours(recorded: Recorded, rows: list[list[int]]) -> tuple[Terms, dict[str, Tensor]]:
    """The update's terms and gradients, with the answers cut into the given micro-batches."""
    tensors = recorded.tensors
    longest = tensors["logp"].shape[1]
    mask = torch.arange(longest) < tensors["response_lengths"][:, None]
    rollout = Rollout(recorded.prompts, recorded.responses, tensors["finished"], tensors["sampler_logp"], mask)
    names = ("logp", "ref_logp", "entropy", "values", "last_values", "scores")
    judged = Judged(**{name: tensors[name] for name in names}, disagreement=None)
    credit = assign_credit(
        judged, rollout, kl_coefficient=KL_COEFFICIENT, moments=RunningMoments(), answers_per_prompt=1,
        config=CONFIG.credit,
    )  # fmt: skip
    policy = policy_of(recorded)
    batches = [make_micro_batch(policy, rollout, torch.tensor(part)) for part in rows]
    terms = _accumulate(policy, batches, judged, credit, CONFIG)
    return terms, {name: p.grad for name, p in policy.trained() if p.grad is not None}


def advantages_by_hand(recorded: Recorded) -> tuple[list[list[float]], list[list[float]]]:
    """Whitened advantages and returns of every token, in Python's floats."""
    tensors = {name: value.double() for name, value in recorded.tensors.items() if "|" not in name}
    advantages, returns = [], []
    for i, response in enumerate(recorded.responses):
        score = max(-0.9, min(0.9, 1.5 * float(tensors["scores"][i]))) - (0.0 if tensors["finished"][i] else 0.5)
        rewards = [
            -KL_COEFFICIENT * float(tensors["logp"][i, t] - tensors["ref_logp"][i, t]) for t in range(len(response))
        ]
        rewards[-1] += score
        row, following, running = [0.0] * len(response), 0.0, 0.0
        for t in reversed(range(len(response))):
            value = float(tensors["values"][i, t])
            running = rewards[t] + following - value + 0.95 * running
            row[t], following = running, value
        advantages.append(row)
        returns.append([a + float(tensors["values"][i, t]) for t, a in enumerate(row)])
    flat = [a for row in advantages for a in row]
    mean = math.fsum(flat) / len(flat)
    std = math.sqrt(math.fsum((a - mean) ** 2 for a in flat) / (len(flat) - 1) + 1e-8)
    return [[(a - mean) / std for a in row] for row in advantages], returns


def by_hand(recorded: Recorded) -> tuple[dict[str, float], dict[str, Tensor]]:
    policy = policy_of(recorded).double()
    model: Any = policy.model
    model.config._attn_implementation = "eager"
    advantages, returns = advantages_by_hand(recorded)
    told = dict.fromkeys(("policy_loss", "value_loss", "approx_kl_k1", "approx_kl_k3", "clip_fraction"), 0.0)
    total = torch.zeros((), dtype=torch.float64)
    for i, (prompt, response) in enumerate(zip(recorded.prompts, recorded.responses, strict=True)):
        hidden = model.model(torch.tensor([prompt + response])).last_hidden_state[0, len(prompt) - 1 : -1]
        logits = model.lm_head(hidden) / 0.9
        values = hidden @ policy.value_head.weight[0] + policy.value_head.bias
        for t, token in enumerate(response):
            logp = logits[t, token] - logits[t].logsumexp(0)
            log_ratio = logp - float(recorded.tensors["logp"][i, t])
            ratio, advantage = log_ratio.exp(), advantages[i][t]
            plain, clipped = -advantage * ratio, -advantage * ratio.clamp(0.85, 1.25)
            old_value = float(recorded.tensors["values"][i, t])
            held = old_value + (values[t] - old_value).clamp(-0.1, 0.1)
            worse = torch.maximum((values[t] - returns[i][t]) ** 2, (held - returns[i][t]) ** 2)
            loss = torch.maximum(plain, clipped)
            total = total + loss + 0.3 * 0.5 * worse
            told["policy_loss"] += float(loss)
            told["value_loss"] += 0.5 * float(worse)
            told["approx_kl_k1"] += -float(log_ratio)
            told["approx_kl_k3"] += float(log_ratio.exp() - 1 - log_ratio)
            told["clip_fraction"] += float(clipped > plain)
    (total / sum(map(len, recorded.responses))).backward()
    return told, {name: p.grad for name, p in policy.trained() if p.grad is not None}


@pytest.mark.parametrize("size", [1, 2, 12])
def test_update_from_the_recorded_rollout_is_that_of_the_formulas(recorded: Recorded, size: int) -> None:
    rows = [list(range(i, i + size)) for i in range(0, 12, size)]
    terms, gradients = ours(recorded, rows)
    told, expected = by_hand(recorded)

    assert terms.tokens == sum(map(len, recorded.responses))
    assert 0.05 < told["clip_fraction"] / terms.tokens < 0.9, "some tokens must be clipped and some not"
    for name, value in told.items():
        assert terms.sums[name] == pytest.approx(value, rel=1e-4, abs=1e-4), name
    assert set(gradients) == set(expected)
    for name, gradient in gradients.items():
        largest = float(expected[name].abs().max())
        assert largest > 0
        torch.testing.assert_close(gradient.double(), expected[name], atol=1e-4 * largest, rtol=1e-3)


def test_recorded_rollout_holds_every_kind_of_answer(recorded: Recorded) -> None:
    lengths = recorded.tensors["response_lengths"]

    assert set(recorded.tensors["finished"].tolist()) == {True, False}
    assert int(lengths.min()) < int(lengths.max()) == 10
    assert {len(prompt) for prompt in recorded.prompts} == {1, 2, 3}
    assert not torch.equal(recorded.tensors["logp"], recorded.tensors["ref_logp"])
