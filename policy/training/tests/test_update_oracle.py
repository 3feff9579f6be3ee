"""One update against a slow loop in float64 that is written from the formulas: no gpu_ops, no batches, no packing."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from policy.training.config import CreditConfig, KLConfig, PPOConfig, UpdateConfig
from policy.training.credit import RunningMoments, assign_credit
from policy.training.critic import critic_like_policy
from policy.training.learn import _accumulate
from policy.training.rollout import judge, make_micro_batch, make_rollout
from policy.training.sampling import Answer
from policy.training.tests.conftest import build_llama
from policy.training.trunk import Policy

PROMPTS = [[5, 6, 7], [8], [9, 10, 11, 12]]
ANSWERS = [
    Answer([13, 14, 1], "stop", [0.0] * 3),
    Answer([15], "length", [0.0]),
    Answer([16, 17, 18, 19], "length", [0.0] * 4),
]
SCORES = torch.tensor([0.7, -0.4, 1.9])
CONFIG = PPOConfig(
    temperature=0.8,
    kl=KLConfig(coefficient=0.1, loss_coefficient=0.3),
    credit=CreditConfig(gamma=0.98, lam=0.9, missing_eos_penalty=0.5, reward_clip=1.5),
    update=UpdateConfig(entropy_coefficient=0.05, value_coefficient=0.4, clip_low=0.1, clip_high=0.3, value_clip=0.05),
)


def moved(policy: Policy, amount: float, seed: int) -> None:
    """Shift every trained tensor at random, so that ratios, values and KL are not trivial."""
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, parameter in policy.trained():
            parameter.add_(amount * torch.randn(parameter.shape, generator=source))


def ours(policy: Policy) -> dict[str, Tensor]:
    rollout = make_rollout(PROMPTS, ANSWERS, torch.device("cpu"))
    batches = [make_micro_batch(policy, rollout, torch.tensor(rows)) for rows in ([0, 1], [2])]
    judged = judge(policy, rollout, batches, SCORES[:, None], temperature=CONFIG.temperature)
    credit = assign_credit(
        judged,
        rollout,
        kl_coefficient=CONFIG.kl.coefficient,
        moments=RunningMoments(),
        answers_per_prompt=1,
        config=CONFIG.credit,
    )
    moved(policy, 0.02, seed=2)
    terms = _accumulate(policy, batches, judged, credit, CONFIG)
    assert 0 < terms.sums["clip_fraction"] < terms.tokens, "some tokens must be clipped and some not"
    assert terms.sums["value_clip_fraction"] > 0
    return {name: p.grad for name, p in policy.trained() if p.grad is not None}


def token_stats(policy: Policy, model: Any, index: int) -> tuple[Tensor, Tensor, Tensor]:
    """log p, entropy and value at each response token, from full logits of one unpadded sequence."""
    prompt, answer = PROMPTS[index], ANSWERS[index].token_ids
    hidden = model.model(torch.tensor([prompt + answer])).last_hidden_state[0, len(prompt) - 1 : -1]
    logp = (model.lm_head(hidden) / CONFIG.temperature).log_softmax(-1)
    entropy = -(logp.exp() * logp).sum(-1)
    if policy.value_trunk is not None:
        reading = policy.value_trunk.decoder(torch.tensor([prompt + answer])).last_hidden_state[0, len(prompt) - 1 : -1]
    else:
        reading = hidden
    values = (reading @ policy.value_head.weight[0]) + policy.value_head.bias
    return logp[torch.arange(len(answer)), torch.tensor(answer)], entropy, values


def loss_by_hand(policy: Policy, old: list[Any], ref: list[Any]) -> Tensor:
    credit, update = CONFIG.credit, CONFIG.update
    advantages, returns = [], []
    for i, answer in enumerate(ANSWERS):
        rewards = [-0.1 * (float(o) - float(r)) for o, r in zip(old[i][0], ref[i][0], strict=True)]
        rewards[-1] += max(-1.5, min(1.5, float(SCORES[i]))) - (0.5 if answer.finish_reason == "length" else 0.0)
        values, running = [float(v) for v in old[i][2]], 0.0
        row = [0.0] * len(values)
        for t in reversed(range(len(values))):
            following = values[t + 1] if t + 1 < len(values) else 0.0
            running = rewards[t] + credit.gamma * following - values[t] + credit.gamma * credit.lam * running
            row[t] = running
        advantages.append(row)
        returns.append([a + v for a, v in zip(row, values, strict=True)])
    flat = [a for row in advantages for a in row]
    mean = sum(flat) / len(flat)
    std = math.sqrt(sum((a - mean) ** 2 for a in flat) / (len(flat) - 1) + 1e-8)
    total = torch.zeros((), dtype=torch.float64)
    for i in range(len(ANSWERS)):
        logp, entropy, values_now = token_stats(policy, policy.model, i)
        for t in range(len(logp)):
            advantage, ratio = (advantages[i][t] - mean) / std, (logp[t] - old[i][0][t]).exp()
            total = total + torch.maximum(-advantage * ratio, -advantage * ratio.clamp(0.9, 1.3))
            e = ref[i][0][t] - logp[t]
            total = total + 0.3 * (e.exp() - 1 - e) - 0.05 * entropy[t]
            held = old[i][2][t] + (values_now[t] - old[i][2][t]).clamp(-0.05, 0.05)
            worse = torch.maximum((values_now[t] - returns[i][t]) ** 2, (held - returns[i][t]) ** 2)
            total = total + update.value_coefficient * 0.5 * worse
    return total / len(flat)


def start_policy(*, train_layers: int | None, has_critic: bool) -> Policy:
    model = build_llama()
    critic = critic_like_policy(model, train_layers=train_layers) if has_critic else None
    return Policy(model, train_layers=train_layers, critic=critic)


@pytest.mark.parametrize("has_critic", [False, True])
@pytest.mark.parametrize("train_layers", [None, 1])
def test_gradient_of_an_update_is_that_of_the_formulas_in_float64(train_layers: int | None, has_critic: bool) -> None:
    policy = start_policy(train_layers=train_layers, has_critic=has_critic)
    moved(policy, 0.01, seed=1)
    gradients = ours(policy)

    slow = start_policy(train_layers=train_layers, has_critic=has_critic).double()
    start = build_llama().double()
    for model in (slow.model, start, *([slow.value_trunk.decoder] if slow.value_trunk is not None else [])):
        model.config._attn_implementation = "eager"
    moved(slow, 0.01, seed=1)
    with torch.no_grad():
        ref = [token_stats(slow, start, i) for i in range(3)]
        old = [token_stats(slow, slow.model, i) for i in range(3)]
    moved(slow, 0.02, seed=2)
    loss_by_hand(slow, old, ref).backward()

    expected = {name: p.grad for name, p in slow.trained() if p.grad is not None}
    assert set(gradients) == set(expected)
    for name, gradient in gradients.items():
        largest = float(expected[name].abs().max())
        torch.testing.assert_close(gradient.double(), expected[name], atol=1e-4 * largest, rtol=1e-3)


def test_value_after_an_answer_is_read_at_its_last_token() -> None:
    policy = Policy(build_llama())
    moved(policy, 0.05, seed=1)
    rollout = make_rollout(PROMPTS, ANSWERS, torch.device("cpu"))
    batches = [make_micro_batch(policy, rollout, torch.tensor([2, 0, 1]), keep_last=True)]

    judged = judge(policy, rollout, batches, SCORES[:, None], temperature=1.0, keep_last=True)

    with torch.no_grad():
        expected = [
            policy.value_head(policy.model.model(torch.tensor([p + a.token_ids])).last_hidden_state[0, -1])
            for p, a in zip(PROMPTS, ANSWERS, strict=True)
        ]
    assert judged.last_values is not None
    torch.testing.assert_close(judged.last_values, torch.cat(expected), atol=1e-5, rtol=0)


def test_last_tokens_are_run_only_for_the_values_after_them() -> None:
    policy = Policy(build_llama())
    moved(policy, 0.05, seed=1)
    rollout = make_rollout(PROMPTS, ANSWERS, torch.device("cpu"))
    rows = torch.tensor([2, 0, 1])
    longest = max(len(p) + len(a.token_ids) for p, a in zip(PROMPTS, ANSWERS, strict=True))

    told = {}
    for keep_last in (False, True):
        batch = make_micro_batch(policy, rollout, rows, keep_last=keep_last)
        assert batch.ids.shape == (3, longest - (not keep_last))
        told[keep_last] = judge(policy, rollout, [batch], SCORES[:, None], temperature=1.0, keep_last=keep_last)

    assert told[False].last_values is None
    for name in ("logp", "ref_logp", "entropy", "values"):
        torch.testing.assert_close(getattr(told[False], name), getattr(told[True], name), atol=1e-5, rtol=0)
