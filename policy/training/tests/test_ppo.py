"""The loop as a whole: it learns, it does not depend on how batches are cut, it stops where it should."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Literal

import pytest
import torch
from torch import Tensor

from gpu_ops.projection import Projection
from policy.training import ppo
from policy.training.config import CreditConfig, KLConfig, PPOConfig, UpdateConfig
from policy.training.learn import RATIO_TOLERANCE
from policy.training.ppo import PPOState, Score, StepMetrics, train
from policy.training.rollout import MicroBatch, Rollout, judge, make_micro_batch
from policy.training.tests.conftest import EOS, VOCABULARY, build_llama, even_share
from policy.training.trunk import Policy
from reward.training.packing import Prefixed
from reward.training.rundir import TrainingRefused

PROMPTS = [[3 + i, 20 + i, 40 + i] for i in range(8)]


def config(**changes: object) -> PPOConfig:
    settings = {"steps": 1, "answers_per_step": 8, "max_new_tokens": 8, "train_layers": None, "update": UpdateConfig()}
    return PPOConfig(**(settings | changes))  # type: ignore[arg-type]


def run(
    policy: Policy, settings: PPOConfig, *, seed: int = 0, score: Score = even_share
) -> tuple[list[StepMetrics], PPOState]:
    state = PPOState.start(policy, settings)
    loop = train(policy=policy, score=score, prompts=PROMPTS, eos_id=EOS, config=settings, state=state, seed=seed)
    return list(loop), state


def weights(policy: Policy) -> Tensor:
    return torch.cat([p.detach().flatten() for _, p in policy.trained()])


@pytest.mark.parametrize(("train_layers", "reached"), [(None, 0.85), (2, 0.64)])
def test_share_of_even_tokens_rises_under_ppo(train_layers: int | None, reached: float) -> None:
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
    assert statistics.mean(reward[-3:]) > reached
    assert 0 < told[-1].values["kl_nats_per_sequence"] < 10
    assert all(step.values["skipped_updates"] == 0 for step in told)


@pytest.mark.parametrize("estimator", ["rloo", "grpo"])
def test_share_of_even_tokens_rises_without_a_critic_and_the_value_head_is_left_alone(
    estimator: Literal["rloo", "grpo"],
) -> None:
    settings = config(
        steps=20,
        answers_per_step=64,
        answers_per_prompt=8,
        update=UpdateConfig(epochs=4, learning_rate=3e-3, micro_batch_size=64, value_coefficient=1.0),
        credit=CreditConfig(estimator=estimator, missing_eos_penalty=0.0),
        kl=KLConfig(coefficient=0.01, leash_kl_nats_per_sequence=None),
    )
    policy = Policy(build_llama())

    told, _ = run(policy, settings)

    reward = [step.values["reward_mean"] for step in told]
    assert statistics.mean(reward[:2]) < 0.58
    assert statistics.mean(reward[-3:]) > 0.8
    assert not any(bool(parameter.any()) for parameter in policy.value_head.parameters())
    assert all(step.values["value_loss"] == 0 for step in told)


def test_only_the_value_head_learns_while_the_critic_warms_up() -> None:
    policy = Policy(build_llama())
    head = set(policy.value_head.parameters())
    settings = config(
        steps=3, answers_per_step=32, update=UpdateConfig(epochs=2, critic_warmup_steps=2, value_learning_rate=3e-2)
    )
    state = PPOState.start(policy, settings)
    loop = train(policy=policy, score=even_share, prompts=PROMPTS, eos_id=EOS, config=settings, state=state, seed=0)

    def trunk() -> Tensor:
        return torch.cat([p.detach().flatten() for _, p in policy.trained() if p not in head])

    start = trunk()
    told = [next(loop), next(loop)]
    assert torch.equal(trunk(), start)
    assert all(bool(parameter.any()) for parameter in head)
    assert told[1].values["value_loss"] < told[0].values["value_loss"]
    assert [step.values["updates"] for step in told] == [2, 2]
    next(loop)
    assert not torch.equal(trunk(), start)


def two_minds(groups: Sequence[Prefixed]) -> Tensor:
    """Two heads, [A, 2]: on average every even id is worth the same, and they differ on multiples of 4 alone."""
    answers = [answer for group in groups for answer in group.answers]
    even, fourth = ([sum(token % n == 0 for token in a) / len(a) for a in answers] for n in (2, 4))
    lead = torch.tensor(fourth)
    return torch.stack([torch.tensor(even) + lead, torch.tensor(even) - lead], dim=1)


@pytest.mark.parametrize(("penalty", "grows"), [(0.0, True), (1.0, False)])
def test_policy_stays_where_the_heads_agree_under_a_penalty(penalty: float, grows: bool) -> None:
    settings = config(
        steps=12,
        answers_per_step=64,
        update=UpdateConfig(epochs=4, learning_rate=3e-3, micro_batch_size=64),
        credit=CreditConfig(missing_eos_penalty=0.0, disagreement_penalty=penalty),
        kl=KLConfig(coefficient=0.01, leash_kl_nats_per_sequence=None),
    )

    told, _ = run(Policy(build_llama()), settings, score=two_minds)

    reward, apart = ([step.values[name] for step in told] for name in ("reward_mean", "reward_disagreement"))
    assert reward[-1] > reward[0] + 0.05, "it learns either way"
    assert (apart[-1] > apart[0]) == grows


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("train_layers", [None, 1])
def test_micro_batch_size_changes_nothing(size: int, train_layers: int | None) -> None:
    def after(micro_batch_size: int) -> tuple[Tensor, dict[str, float]]:
        policy = Policy(build_llama(), train_layers=train_layers)
        # Plain gradient descent shows the gradient itself; Adam's first step would show only its sign.
        settings = config(
            update=UpdateConfig(epochs=2, mini_batches=2, micro_batch_size=micro_batch_size, adam_eps=1.0)
        )
        told, _ = run(policy, settings)
        return weights(policy), told[0].values

    one, whole = after(size), after(8)

    torch.testing.assert_close(one[0], whole[0], atol=1e-9, rtol=1e-6)
    for name in (
        "policy_loss",
        "value_loss",
        "grad_norm",
        "kl_nats_per_sequence",
        "clip_fraction",
        "entropy_nats_per_token",
    ):
        assert one[1][name] == pytest.approx(whole[1][name], abs=1e-5), name


def test_every_mini_batch_of_every_epoch_is_one_optimizer_step() -> None:
    told, state = run(Policy(build_llama()), config(steps=2, update=UpdateConfig(epochs=3, mini_batches=4)))

    assert [step.values["updates"] for step in told] == [12, 12]
    assert {int(slots["step"]) for slots in state.optimizer.state.values()} == {24}


def test_first_ratio_is_1_before_anything_changed() -> None:
    told, _ = run(Policy(build_llama()), config(steps=3, update=UpdateConfig(mini_batches=2, micro_batch_size=3)))

    assert max(step.values["first_ratio_error"] for step in told) < 1e-4
    assert all(step.values["kl_nats_per_sequence"] == 0 for step in told[:1])
    assert told[1].values["kl_nats_per_sequence"] != 0


@pytest.mark.parametrize(("autocast", "dtype"), [(False, torch.float32), (True, torch.bfloat16)])
def test_head_multiplies_in_what_the_layers_do(
    monkeypatch: pytest.MonkeyPatch, autocast: bool, dtype: torch.dtype
) -> None:
    asked: list[torch.dtype] = []
    of = Projection.of
    monkeypatch.setattr(Projection, "of", lambda *given: asked.append(given[-1]) or of(*given))  # type: ignore[func-returns-value]
    told, _ = run(Policy(build_llama(), autocast=autocast), config(steps=2))

    assert set(asked) == {dtype}
    assert max(step.values["first_ratio_error"] for step in told) < RATIO_TOLERANCE[autocast]


def test_log_probs_that_are_not_reproduced_are_refused() -> None:
    policy = Policy(build_llama())
    policy.model.model.layers[0].register_forward_hook(
        lambda module, inputs, output: output + 0.01 * torch.randn_like(output)
    )

    with pytest.raises(TrainingRefused, match="differ by") as refusal:
        run(policy, config())
    assert refusal.value.code == "ratio_mismatch"


def test_sampler_and_trainer_agree_on_log_probs() -> None:
    told, _ = run(Policy(build_llama()), config())

    assert told[0].values["sampler_logp_gap_std"] < 1e-5


def test_updates_end_once_the_policies_are_too_far_apart() -> None:
    update = UpdateConfig(epochs=8, learning_rate=1e-2)
    free, _ = run(Policy(build_llama()), config(update=update, kl=KLConfig(stop_update_nats_per_token=None)))
    held, _ = run(Policy(build_llama()), config(update=update, kl=KLConfig(stop_update_nats_per_token=0.05)))

    assert (free[0].values["updates"], free[0].values["update_stopped_early"]) == (8, 0)
    assert 1 <= held[0].values["updates"] < 8
    assert held[0].values["update_stopped_early"] == 1


def test_gradient_that_is_not_finite_is_skipped_and_the_third_in_a_row_ends_the_run() -> None:
    policy = Policy(build_llama())
    bad = [False, True, False, True, True, True]
    policy.model.model.norm.weight.register_hook(lambda grad: grad * torch.nan if bad.pop(0) else grad)
    settings = config(steps=6, update=UpdateConfig(epochs=1))
    state = PPOState.start(policy, settings)
    loop = train(policy=policy, score=even_share, prompts=PROMPTS, eos_id=EOS, config=settings, state=state, seed=0)

    skipped = [next(loop).values["skipped_updates"] for _ in range(5)]
    assert skipped == [0, 1, 0, 1, 1]
    assert state.skipped_total == 3
    assert weights(policy).isfinite().all()
    with pytest.raises(TrainingRefused, match="Three updates in a row"):
        next(loop)


def test_gradient_norm_is_bounded() -> None:
    def moved(max_grad_norm: float) -> float:
        policy = Policy(build_llama())
        before = weights(policy)
        update = UpdateConfig(
            epochs=1, adam_eps=1.0, learning_rate=1.0, value_learning_rate=1.0, max_grad_norm=max_grad_norm
        )
        run(policy, config(update=update))
        return float((weights(policy) - before).norm())

    # With epsilon 1 Adam's first step is nearly the gradient itself.
    assert moved(1e-3) == pytest.approx(1e-3, rel=0.01)
    assert moved(1e9) > 0.05


def test_whole_state_repeats_with_the_seed_and_differs_with_another() -> None:
    first, second, other = (
        run(policy := Policy(build_llama()), config(steps=2), seed=s) and weights(policy) for s in (1, 1, 2)
    )

    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_each_prompt_comes_once_per_pass() -> None:
    seen: list[tuple[int, ...]] = []
    settings = config(steps=4, answers_per_step=8, answers_per_prompt=2)

    def score(groups):
        seen.extend(tuple(group.prompt) for group in groups for _ in group.answers)
        return even_share(groups)

    policy = Policy(build_llama())
    list(train(policy=policy, score=score, prompts=PROMPTS, eos_id=EOS, config=settings,
               state=PPOState.start(policy, settings), seed=0))  # fmt: skip

    expected = {tuple(p): 2 for p in PROMPTS}
    assert {p: seen[:16].count(p) for p in set(seen[:16])} == expected
    assert {p: seen[16:].count(p) for p in set(seen[16:])} == expected
    assert seen[:16] != seen[16:]


def test_entropy_at_the_start_is_that_of_the_model() -> None:
    told, _ = run(Policy(build_llama()), config())

    assert 3.5 < told[0].values["entropy_nats_per_token"] < torch.log(torch.tensor(VOCABULARY))


@pytest.mark.parametrize("warmup", [0, 2])
def test_the_judges_pass_serves_the_first_update_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, warmup: int
) -> None:
    settings = config(steps=3, update=UpdateConfig(epochs=2, learning_rate=3e-3, critic_warmup_steps=warmup))
    passes: list[int] = []
    top = Policy.top
    monkeypatch.setattr(Policy, "top", lambda *given: passes.append(1) or top(*given))  # type: ignore[func-returns-value]
    once = Policy(build_llama())
    told, _ = run(once, settings)
    num_passes = len(passes)
    monkeypatch.setattr(ppo, "judge", lambda *given, keep_states, **named: judge(*given, **named))
    twice = Policy(build_llama())
    told_twice, _ = run(twice, settings)

    # A step is one pass for the judge and one an epoch; the first step and the critic's own repeat the judge's.
    assert (num_passes, len(passes) - num_passes) == (7 if warmup == 0 else 8, 9)
    assert torch.equal(weights(once), weights(twice))
    timed = ("seconds", "second")
    assert [{k: v for k, v in step.values.items() if not k.endswith(timed)} for step in told] == [
        {k: v for k, v in step.values.items() if not k.endswith(timed)} for step in told_twice
    ]


def test_answers_that_were_cut_off_can_be_credited_with_what_would_follow() -> None:
    """The value head is 0 at first, so it is the second step that differs."""
    plain, bootstrapped = Policy(build_llama()), Policy(build_llama())
    update = UpdateConfig(epochs=2, learning_rate=3e-3, value_learning_rate=0.1)
    for policy, wanted in ((plain, False), (bootstrapped, True)):
        run(policy, config(steps=2, update=update, credit=CreditConfig(bootstrap_truncated=wanted)))

    assert not torch.equal(weights(plain), weights(bootstrapped))


def test_what_stands_in_the_padding_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config(steps=2, update=UpdateConfig(epochs=2, learning_rate=3e-3))
    plain, poisoned = Policy(build_llama()), Policy(build_llama())
    run(plain, settings)
    num_pads = 0

    def poison(policy: Policy, rollout: Rollout, rows: Tensor, *, keep_last: bool) -> MicroBatch:
        nonlocal num_pads
        batch = make_micro_batch(policy, rollout, rows, keep_last=keep_last)
        left_out = 0 if keep_last else 1
        lengths = [len(rollout.prompts[i]) + len(rollout.responses[i]) - left_out for i in rows.tolist()]
        pads = torch.arange(batch.ids.shape[1]) >= torch.tensor(lengths)[:, None]
        num_pads += int(pads.sum())
        return batch._replace(ids=batch.ids.masked_fill(pads, VOCABULARY - 1))

    monkeypatch.setattr(ppo, "make_micro_batch", poison)
    run(poisoned, settings)

    assert num_pads > 10
    assert torch.equal(weights(plain), weights(poisoned))
