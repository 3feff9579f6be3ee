"""Which weights a run ends with."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from policy.training.config import KeepConfig, PPOConfig
from policy.training.evaluate import Choice, Evaluation, SampledAnswer, evaluate
from policy.training.tests.conftest import EOS, build_llama, even_share
from policy.training.trunk import Policy
from reward.training.packing import Prefixed


def evaluation(step: int, reward: float, kl: float) -> Evaluation:
    return Evaluation(step, {"eval_reward": reward, "eval_kl_nats_per_sequence": kl})


def shifted(policy: Policy, amount: float) -> Policy:
    with torch.no_grad():
        for _, parameter in policy.trained():
            parameter.add_(amount)
    return policy


def test_best_reward_within_the_leash_is_chosen_and_put_back() -> None:
    policy, choice = Policy(build_llama()), Choice(leash=5.0)
    start = policy.head.detach().clone()

    offered = [
        choice.offer(evaluation(0, 0.1, 0.0), policy),
        choice.offer(evaluation(5, 0.4, 3.0), shifted(policy, 1.0)),
        choice.offer(evaluation(10, 0.3, 4.0), shifted(policy, 1.0)),
        choice.offer(evaluation(15, 0.9, 5.1), shifted(policy, 1.0)),
    ]
    choice.apply(policy)

    assert offered == [True, True, False, False]
    assert choice.best is not None
    assert choice.best.step == 5
    torch.testing.assert_close(policy.head.detach(), start + 1.0)


def test_weights_that_the_heads_disagree_on_are_worth_less() -> None:
    policy = Policy(build_llama())
    bold, cautious = Choice(leash=None), Choice(leash=None, disagreement_penalty=2.0)

    def offer(choice: Choice, step: int, reward: float, disagreement: float) -> bool:
        found = evaluation(step, reward, 0.0)
        return choice.offer(found._replace(values=found.values | {"eval_reward_disagreement": disagreement}), policy)

    assert [offer(bold, step, *said) for step, said in enumerate([(0.1, 0.1), (0.9, 0.6)])] == [True, True]
    assert [offer(cautious, step, *said) for step, said in enumerate([(0.1, 0.1), (0.9, 0.6), (0.3, 0.1)])] == [
        True,
        False,
        True,
    ]


def test_start_is_kept_where_nothing_is_better() -> None:
    policy, choice = Policy(build_llama(), train_layers=1), Choice(leash=None)
    start = {name: p.detach().clone() for name, p in policy.trained() if "value_head" not in name}

    choice.offer(evaluation(0, 0.5, 0.0), policy)
    choice.offer(evaluation(5, 0.5, 1.0), shifted(policy, 1.0))
    choice.apply(policy)

    assert all(torch.equal(dict(policy.trained())[name], value) for name, value in start.items())


def test_evaluation_repeats_and_finds_no_distance_at_the_start() -> None:
    policy, config = Policy(build_llama()), PPOConfig(max_new_tokens=5, eval_answers_per_prompt=3)
    prompts = [[5, 6], [7, 8]]

    measured = [evaluate(policy, even_share, prompts, eos_id=EOS, config=config, seed=1, step=step) for step in (0, 5)]

    (first, samples), (second, again) = measured
    assert first.values == second.values
    assert samples == again
    assert first.kl == 0
    assert 0 < first.reward < 1


def test_samples_are_the_first_answers_to_the_first_prompts_with_what_is_made_of_them() -> None:
    policy, prompts = Policy(build_llama()), [[5, 6], [7, 8, 9], [4]]
    moved = shifted(Policy(build_llama()), 0.02)

    def of(
        policy: Policy, count: int, answers: int, prompts: Sequence[Sequence[int]] = prompts
    ) -> tuple[Evaluation, list[SampledAnswer]]:
        config = PPOConfig(max_new_tokens=5, eval_answers_per_prompt=answers, keep=KeepConfig(samples=count))
        return evaluate(policy, two_heads, prompts, eos_id=EOS, config=config, seed=1, step=0)

    _, two = of(moved, 2, 1)
    evaluation, every = of(moved, 16, 1)
    _, none = of(moved, 0, 1)
    _, start = of(policy, 16, 1)
    _, firsts = of(moved, 2, 3)
    _, rows = of(moved, 6, 1, [prompt for prompt in prompts for _answer in range(3)])

    assert [sample.prompt for sample in every] == [0, 1, 2]
    assert (two, none) == (every[:2], [])
    assert [sample.prompt for sample in firsts] == [0, 1]
    assert [sample.token_ids for sample in firsts] == [rows[0].token_ids, rows[3].token_ids]
    for sample in every:
        score = even_share([Prefixed([1], [sample.token_ids])]).item()
        assert sample.values["score"] == pytest.approx(score + 0.1)
        assert sample.values["score_spread"] == pytest.approx(0.2 / 2**0.5)
        assert sample.values["response_tokens"] == len(sample.token_ids)
    assert {sample.values["kl_nats_per_sequence"] for sample in start} == {0}
    kl = [sample.values["kl_nats_per_sequence"] for sample in every]
    assert 0 not in kl
    assert sum(kl) / 3 == pytest.approx(evaluation.kl)


def two_heads(groups: Sequence[Prefixed]) -> Tensor:
    """Two heads of which one says 0.2 more. [A, 2]"""
    scores = even_share(groups)
    return torch.cat([scores, scores + 0.2], dim=1)
