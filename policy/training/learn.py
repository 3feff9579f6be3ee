"""Updates of policy and value head from one judged rollout: sums over tokens, divided by the mini-batch's tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from gpu_ops import LinearPPO, ValueLoss, linear_ppo_loss, value_loss
from policy.training.config import PPOConfig, UpdateConfig
from policy.training.credit import Credit
from policy.training.imitation import Imitation
from policy.training.randomness import generator
from policy.training.rollout import Judged, MicroBatch, response_states, unflatten
from policy.training.sharding import by_kind, clip_gradients
from policy.training.trunk import Policy
from reward.training.ranks import ALONE, Ranks
from reward.training.rundir import TrainingRefused

RATIO_TOLERANCE = {False: 1e-4, True: 2e-2}
"""How far the first ratio may be from 1: plain float32 matmuls of any internal precision, and bfloat16 autocast."""

MAX_SKIPPED_IN_A_ROW = 3

SUMMED = (
    "policy_loss",
    "value_loss",
    "approx_kl_k1",
    "approx_kl_k3",
    "clip_fraction",
    "value_clip_fraction",
    "clamped",
)


@dataclass(slots=True)
class Learned:
    """What the updates of one step came to. `sums` are over tokens: divide by `tokens`; `grad_norm` is a sum over
    updates."""

    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SUMMED, 0.0))
    tokens: int = 0
    ratio_max: float = 0.0
    first_ratio_error: float = 0.0
    grad_norm: float = 0.0
    imitation_losses: list[float] = field(default_factory=list)
    updates: int = 0
    skipped: int = 0
    last_kl: float = 0.0
    stopped_early: bool = False


class Terms(NamedTuple):
    """One mini-batch's sums and the greatest |ratio - 1|."""

    sums: dict[str, float]
    tokens: int
    ratio_max: float
    ratio_error: float


def make_optimizer(policy: Policy, config: UpdateConfig) -> torch.optim.AdamW:
    """AdamW over what is trained; the value head, the last group, has its own learning rate. `schedule` sets both."""
    head = list(policy.value_head.parameters())
    rest = [p for name, p in policy.trained() if not name.startswith("value_head.")]
    groups = [{"params": part, "lr": config.learning_rate} for part in by_kind(rest)]
    groups.append({"params": head, "lr": config.value_learning_rate})
    return torch.optim.AdamW(
        groups, betas=config.adam_betas, eps=config.adam_eps, weight_decay=config.weight_decay, fused=True
    )


def learn(
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    mini_batches: Sequence[Sequence[MicroBatch]],
    judged: Judged,
    credit: Credit,
    *,
    config: PPOConfig,
    seed: int,
    step: int,
    skipped_before: int,
    imitation: Imitation | None = None,
    ranks: Ranks = ALONE,
) -> Learned:
    """All epochs of one step. Ends early once old and new policy are further apart than the config allows.

    Args:
        mini_batches: of each this rank's micro-batches.
        judged: its `states`, if any, are of the only micro-batch and serve the first update.
        skipped_before: non-finite updates in a row before this step.
        imitation: demonstrations whose gradient joins every update of the policy.

    Raises:
        TrainingRefused: the first ratio is not 1 (`ratio_mismatch`), or three updates in a row, or the policy itself,
            are not finite (`diverged`).
    """
    learned, in_a_row = Learned(), skipped_before
    limit = config.kl.stop_update_nats_per_token
    only_critic = step <= config.update.critic_warmup_steps
    for epoch in range(config.update.epochs):
        order = torch.randperm(len(mini_batches), generator=generator(seed, "order", step, epoch))
        for index in order.tolist():
            terms = _accumulate(
                policy, mini_batches[index], judged, credit, config, only_critic=only_critic, ranks=ranks
            )
            judged = judged._replace(states=None)
            _note(learned, terms)
            if learned.updates + learned.skipped == 0:
                _check_first_ratio(learned, terms, policy.autocast)
            learned.last_kl = terms.sums["approx_kl_k3"] / terms.tokens
            if limit is not None and learned.last_kl > limit:
                optimizer.zero_grad(set_to_none=True)
                learned.stopped_early = True
                return learned
            if imitation is not None and not only_critic:
                key = (seed, "imitation", step, epoch, index)
                learned.imitation_losses.append(imitation.backward(policy, key=key, ranks=ranks))
            ranks.add_gradients([parameter for _, parameter in policy.trained()])
            in_a_row = 0 if _update(policy, optimizer, learned, config.update) else in_a_row + 1
            if in_a_row >= MAX_SKIPPED_IN_A_ROW:
                message = "Three updates in a row were not finite; start again with a lower learning rate."
                raise TrainingRefused(message, code="diverged")
    return learned


def _accumulate(
    policy: Policy,
    batches: Sequence[MicroBatch],
    judged: Judged,
    credit: Credit,
    config: PPOConfig,
    *,
    only_critic: bool = False,
    ranks: Ranks = ALONE,
) -> Terms:
    """Gradients of a mini-batch, however it is cut: every micro-batch divides by the whole token count.

    The gradients are of this rank's micro-batches, the terms of everybody's.

    Args:
        only_critic: what tells values alone gets a gradient; everything is told as ever.
    """
    tokens = int(ranks.totals([sum(batch.targets.numel() for batch in batches)])[0])
    sums, ratio_max, ratio_error = dict.fromkeys(SUMMED, 0.0), 0.0, 0.0
    for batch in batches:
        with torch.set_grad_enabled(not only_critic):
            states = response_states(policy, batch) if judged.states is None else judged.states
            check_finite(states)
            with policy.casting(states):
                ppo = _policy_loss(policy, states, batch, judged, credit, config, tokens)
        loss = ppo.loss
        if config.credit.has_critic:
            if policy.value_trunk is not None and loss.requires_grad:
                # Nothing is shared: what the policy kept for its gradient is freed before the value trunk needs memory.
                loss.backward()  # type: ignore[no-untyped-call]
                loss = loss.detach()
            value = _value_loss(policy, states, batch, judged, credit, config.update, tokens)
            loss = loss + config.update.value_coefficient * value.loss
            sums["value_loss"] += float(value.loss.detach()) * tokens
            sums["value_clip_fraction"] += float(value.clip_fraction_sum)
        loss.backward()  # type: ignore[no-untyped-call]
        sums["policy_loss"] += float(ppo.loss.detach()) * tokens
        for name in ("approx_kl_k1", "approx_kl_k3", "clip_fraction", "clamped"):
            sums[name] += float(getattr(ppo.metrics, name))
        ratio_max = max(ratio_max, float(ppo.metrics.ratio_max))
        old_logp = judged.logp[batch.rows][batch.mask]
        ratio_error = max([ratio_error, *(ppo.logp.detach() - old_logp).expm1().abs().tolist()])
    sums = dict(zip(sums, ranks.totals(list(sums.values())), strict=True))
    return Terms(sums, tokens, ranks.greatest(ratio_max), ranks.greatest(ratio_error))


def _policy_loss(
    policy: Policy,
    states: Tensor,
    batch: MicroBatch,
    judged: Judged,
    credit: Credit,
    config: PPOConfig,
    tokens: int,
) -> LinearPPO:
    """gpu_ops' loss of one micro-batch. states: [N, D]; tokens: of the whole mini-batch."""
    update, kl = config.update, config.kl
    return linear_ppo_loss(
        states,
        policy.head,
        batch.targets,
        judged.logp[batch.rows][batch.mask],
        credit.advantages[batch.rows][batch.mask],
        None,
        temperature=config.temperature,
        ref_logp=judged.ref_logp[batch.rows][batch.mask],
        clip_low=update.clip_low,
        clip_high=update.clip_high,
        dual_clip=update.dual_clip,
        entropy_coef=update.entropy_coefficient,
        kl_coef=kl.loss_coefficient,
        kl_kind=kl.loss_kind,
        denominator=tokens,
    )


def _value_loss(
    policy: Policy,
    states: Tensor,
    batch: MicroBatch,
    judged: Judged,
    credit: Credit,
    update: UpdateConfig,
    tokens: int,
) -> ValueLoss:
    """gpu_ops' loss of one micro-batch. states: [N, D]; tokens: of the whole mini-batch."""
    return value_loss(
        unflatten(policy.values(batch.ids, batch.states, states), batch.mask),
        judged.values[batch.rows],
        credit.returns[batch.rows],
        batch.mask,
        clip=update.value_clip,
        denominator=tokens,
    )


def check_finite(*tensors: Tensor) -> None:
    """Refuse to go on with numbers that no later step can repair. Raises TrainingRefused (`diverged`)."""
    if not all(bool(tensor.isfinite().all()) for tensor in tensors):
        message = "The policy's numbers are no longer finite; start again with a lower learning rate."
        raise TrainingRefused(message, code="diverged")


def _note(learned: Learned, terms: Terms) -> None:
    for name, value in terms.sums.items():
        learned.sums[name] += value
    learned.tokens += terms.tokens
    learned.ratio_max = max(learned.ratio_max, terms.ratio_max)


def _check_first_ratio(learned: Learned, terms: Terms, autocast: bool) -> None:
    """Before the first update nothing has changed, so a ratio other than 1 is a bug or a precision that is too low."""
    learned.first_ratio_error = terms.ratio_error
    if not terms.ratio_error <= RATIO_TOLERANCE[autocast]:
        message = (
            f"Before the first update old and new probabilities differ by {terms.ratio_error:.2g} "
            f"(at most {RATIO_TOLERANCE[autocast]:g} is allowed); choose a higher precision."
        )
        raise TrainingRefused(message, code="ratio_mismatch")


def _update(policy: Policy, optimizer: torch.optim.Optimizer, learned: Learned, config: UpdateConfig) -> bool:
    """One optimizer step, or none where a gradient is not finite. Networks that share nothing are clipped apart."""
    apart = policy.critic_parameters()
    parameters = [p for _, p in (policy.trained_model() if apart else policy.trained())]
    norm = clip_gradients(parameters, config.max_grad_norm)
    critic_norm = clip_gradients(apart, config.max_grad_norm) if apart else 0.0
    finite = math.isfinite(norm) and math.isfinite(critic_norm)
    if finite:
        optimizer.step()
        learned.updates += 1
        learned.grad_norm += norm
    else:
        learned.skipped += 1
    optimizer.zero_grad(set_to_none=True)
    return finite
