"""Which weights a run ends with."""

from __future__ import annotations

import torch

from policy.training.config import PPOConfig
from policy.training.evaluate import Choice, Evaluation, evaluate
from policy.training.tests.conftest import EOS, build_llama, even_share
from policy.training.trunk import Policy


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

    first, second = (
        evaluate(policy, even_share, prompts, eos_id=EOS, config=config, seed=1, step=step) for step in (0, 5)
    )

    assert first.values == second.values
    assert first.kl == 0
    assert 0 < first.reward < 1
