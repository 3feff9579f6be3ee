"""PPO (Schulman et al. 2017; Ziegler et al. 2019) as a generator: act, judge, credit, learn, tell.

It is given its parts and yields metrics; saving, reading, devices and settings from outside are its caller's.
docs/maths.md gives the reason behind each choice, docs/metrics.md what each metric means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from policy.training.average import WeightAverage
from policy.training.config import PPOConfig
from policy.training.credit import RunningMoments, assign_credit
from policy.training.imitation import Imitation
from policy.training.kl import KLController, make_controller
from policy.training.learn import check_finite, learn, make_optimizer
from policy.training.randomness import generator
from policy.training.rollout import Rollout, judge, make_micro_batch, make_rollout, plan_rows, pool_answers
from policy.training.sampling import Draw, Request, sample
from policy.training.schedule import set_learning_rates
from policy.training.sharding import unsharded
from policy.training.tell import Seconds, step_metrics
from policy.training.trunk import Policy
from reward.training.packing import Prefixed, by_prompt
from reward.training.ranks import ALONE, Ranks

Score = Callable[[Sequence[Prefixed]], Tensor]
"""[A, M] scores of prompts' answers (token ids, EOS included where there is one), in their order, by each of the reward
model's M heads, in reward units."""


class StepMetrics(NamedTuple):
    """Metrics of one step, of the policy as it was when the rollout was drawn. `step` counts from 1."""

    step: int
    values: dict[str, float]


@dataclass(slots=True)
class PPOState:
    """What changes from step to step beside the weights. Random numbers derive from seed and step: none to keep.

    `ended` says that no step is to follow, whatever the config's number of steps.
    """

    optimizer: torch.optim.AdamW
    controller: KLController
    average: WeightAverage | None
    moments: RunningMoments = field(default_factory=RunningMoments)
    step: int = 0
    skipped_in_a_row: int = 0
    skipped_total: int = 0
    ended: bool = False

    @classmethod
    def start(cls, policy: Policy, config: PPOConfig) -> PPOState:
        """The state before the first step."""
        decay = config.update.average_decay
        return cls(
            optimizer=make_optimizer(policy, config.update),
            controller=make_controller(config.kl),
            average=None if decay is None else WeightAverage.start(policy, decay),
        )


def train(
    *,
    policy: Policy,
    score: Score,
    prompts: Sequence[Sequence[int]],
    eos_id: int,
    config: PPOConfig,
    state: PPOState,
    seed: int,
    imitation: Imitation | None = None,
    ranks: Ranks = ALONE,
) -> Iterator[StepMetrics]:
    """Run the steps that `state` has not run yet; policy and state change in place.

    Args:
        imitation: demonstrations to mix into the updates.
        ranks: the processes that train together; all of them yield the same.

    Raises:
        TrainingRefused: see `learn`.
    """
    while state.step < config.steps:
        step, clock = state.step + 1, Seconds()

        # 1. Act: draw a rollout.
        rollout = act(policy, prompts, eos_id=eos_id, config=config, seed=seed, step=step, ranks=ranks)
        clock.lap("act")

        # 2. Judge: log-probabilities and values by the policy, the reference and the reward model.
        plan = plan_rows(
            rollout,
            mini_batches=config.update.mini_batches,
            micro_batch_size=config.update.micro_batch_size,
            seed=seed,
            step=step,
        )
        keep_last = config.credit.bootstrap_truncated
        mini_batches = [
            [make_micro_batch(policy, rollout, rows, keep_last=keep_last) for rows in ranks.share_passes(part)]
            for part in plan
        ]
        members = score_rollout(score, rollout, ranks=ranks)
        clock.lap("score")
        flat = [batch for part in mini_batches for batch in part]
        # The first step's first ratio is of two passes, so that the gate on it sees what makes them differ.
        keep_states = len(flat) == 1 and step > max(1, config.update.critic_warmup_steps)
        judged = judge(
            policy,
            rollout,
            flat,
            members,
            temperature=config.temperature,
            keep_last=keep_last,
            keep_states=keep_states,
            ranks=ranks,
        )
        check_finite(judged.logp, judged.ref_logp, judged.values, judged.scores)
        clock.lap("judge")

        # 3. Credit: from scores of answers to advantages of tokens.
        coefficient = state.controller.coefficient
        credit = assign_credit(
            judged,
            rollout,
            kl_coefficient=coefficient,
            moments=state.moments,
            answers_per_prompt=config.answers_per_prompt,
            config=config.credit,
        )
        clock.lap("credit")

        # 4. Learn: update policy and value head.
        rate = set_learning_rates(state.optimizer, config, step)
        learned = learn(
            policy,
            state.optimizer,
            mini_batches,
            judged,
            credit,
            config=config,
            seed=seed,
            step=step,
            skipped_before=state.skipped_in_a_row,
            imitation=imitation,
            ranks=ranks,
        )
        clock.lap("learn")

        # 5. Tell: metrics, and what the next step needs to know.
        values = step_metrics(rollout, judged, credit, learned, clock)
        state.controller.update(values["kl_nats_per_sequence"], len(rollout.responses))
        state.skipped_in_a_row = 0 if learned.updates else state.skipped_in_a_row + learned.skipped
        state.skipped_total += learned.skipped
        if state.average is not None:
            state.average.update(policy)
        state.step = step
        values |= {"kl_coefficient": coefficient, "learning_rate": rate, "skipped_total": float(state.skipped_total)}
        yield StepMetrics(step, values)


def act(
    policy: Policy,
    prompts: Sequence[Sequence[int]],
    *,
    eos_id: int,
    config: PPOConfig,
    seed: int,
    step: int,
    ranks: Ranks = ALONE,
) -> Rollout:
    """Draw the answers of one step: the next prompts of an endless run of shuffled passes, answered side by side."""
    count = config.prompts_per_step
    chosen = [_prompt_at(len(prompts), position, seed) for position in range((step - 1) * count, step * count)]
    asked = [prompts[index] for index in chosen for _ in range(config.answers_per_prompt)]
    requests = [Request(prompt, (seed, "act", step, index)) for index, prompt in enumerate(asked)]
    draw = Draw(max_new_tokens=config.max_new_tokens, temperature=config.temperature, batch_size=len(requests))
    return draw_rollout(policy, requests, draw=draw, eos_id=eos_id, ranks=ranks)


def draw_rollout(
    policy: Policy, requests: Sequence[Request], *, draw: Draw, eos_id: int, ranks: Ranks = ALONE
) -> Rollout:
    """An answer to every request; each rank draws its share and then has all."""
    device = policy.head.device
    model = policy.sampler()
    with unsharded(model):
        mine = sample(model, ranks.share(requests), draw=draw, eos_id=eos_id)
    answers = pool_answers(mine, len(requests), ranks=ranks, longest=draw.max_new_tokens, device=device)
    return make_rollout([request.prompt for request in requests], answers, device)


@torch.no_grad()
def score_rollout(score: Score, rollout: Rollout, *, ranks: Ranks = ALONE) -> Tensor:
    """[B, M] scores by each head, without gradient; each rank scores the answers to its share of the prompts."""
    groups = by_prompt(rollout.prompts, rollout.responses)
    device, mine = rollout.mask.device, ranks.share(groups)
    told = score(mine).detach().float().to(device) if mine else torch.zeros(0, 0, device=device)
    members = torch.zeros(len(rollout.responses), int(ranks.greatest(told.shape[1])), device=device)
    if mine:
        numbers = torch.arange(len(groups)).repeat_interleave(torch.tensor([len(group.answers) for group in groups]))
        members[(numbers % ranks.count == ranks.index).to(device)] = told
    ranks.add_up([members])
    return members


def _prompt_at(num_prompts: int, position: int, seed: int) -> int:
    """Index of the prompt at a position of the endless run of shuffled passes."""
    epoch, offset = divmod(position, num_prompts)
    return int(torch.randperm(num_prompts, generator=generator(seed, "prompts", epoch))[offset])
