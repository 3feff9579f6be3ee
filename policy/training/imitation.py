"""Demonstrations mixed into PPO's updates, so that the policy does not forget how people's best answers read (PTX).

InstructGPT (Ouyang et al. 2022, section 3.5) mixes in pretraining text; here it is the answers that people ranked best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from gpu_ops import linear_logp
from policy.training.randomness import generator
from policy.training.rollout import make_micro_batch, make_rollout, response_states
from policy.training.sampling import Answer
from policy.training.trunk import Policy
from reward.training.ranks import ALONE, Ranks


@dataclass(frozen=True, slots=True)
class Imitation:
    """Prompts with answers to imitate, as token ids, and the weight of their loss."""

    prompts: Sequence[Sequence[int]]
    answers: Sequence[Sequence[int]]
    coefficient: float
    per_update: int
    micro_batch_size: int

    def backward(self, policy: Policy, *, key: tuple[int | str, ...], ranks: Ranks = ALONE) -> float:
        """Add the gradient of coefficient * mean(-log p) over the tokens of a draw; return that mean in nats.

        The gradient is of this rank's share, the mean of everybody's.

        Args:
            key: what the draw derives from; without replacement within a draw.
        """
        drawn = torch.randperm(len(self.answers), generator=generator(*key))[: self.per_update].tolist()
        rollout = make_rollout(
            [self.prompts[i] for i in drawn],
            [Answer(list(self.answers[i]), "stop", [0.0] * len(self.answers[i])) for i in drawn],
            policy.head.device,
        )
        tokens, total = int(rollout.mask.sum()), 0.0
        for rows in ranks.share_passes(torch.arange(len(drawn)).split(self.micro_batch_size)):
            batch = make_micro_batch(policy, rollout, rows)
            states = response_states(policy, batch)
            with policy.casting(states):
                logp = linear_logp(states, policy.head, batch.targets, temperature=1.0).logp
            loss = -logp.sum() / tokens
            (self.coefficient * loss).backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        return ranks.totals([total])[0]
