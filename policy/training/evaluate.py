"""Held-out reward and KL during a run, a few of the answers, and the choice of the weights that the run ends with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from policy.training.config import PPOConfig
from policy.training.ppo import Score, draw_rollout, score_rollout
from policy.training.rollout import Judged, Rollout, judge, make_micro_batch
from policy.training.sampling import Draw, Request
from policy.training.tell import rollout_metrics
from policy.training.trunk import Policy
from reward.training.ranks import ALONE, Ranks

NAMES = {
    "reward_mean": "eval_reward",
    "reward_disagreement": "eval_reward_disagreement",
    "kl_nats_per_sequence": "eval_kl_nats_per_sequence",
    "kl_k3_nats_per_sequence": "eval_kl_k3_nats_per_sequence",
    "response_tokens_mean": "eval_response_tokens_mean",
    "finished_share": "eval_finished_share",
}


class Evaluation(NamedTuple):
    """What the policy after `step` does on the validation prompts; `values` by the names of docs/metrics.md."""

    step: int
    values: dict[str, float]

    @property
    def reward(self) -> float:
        """Mean raw score."""
        return self.values["eval_reward"]

    @property
    def kl(self) -> float:
        """Nats per sequence (k1)."""
        return self.values["eval_kl_nats_per_sequence"]


class SampledAnswer(NamedTuple):
    """The first answer to a validation prompt, for people to read; `values` by the names of docs/metrics.md."""

    prompt: int
    """Which validation prompt, from 0."""
    token_ids: list[int]
    """EOS included where there is one."""
    values: dict[str, float]


def evaluate(
    policy: Policy,
    score: Score,
    prompts: Sequence[Sequence[int]],
    *,
    eos_id: int,
    config: PPOConfig,
    seed: int,
    step: int,
    ranks: Ranks = ALONE,
) -> tuple[Evaluation, list[SampledAnswer]]:
    """Draw, score and compare with the reference. Random numbers are the same at every step, so that steps compare.

    Beside the measurement come the answers to the first `keep.samples` prompts.
    """
    asked = [prompt for prompt in prompts for _ in range(config.eval_answers_per_prompt)]
    requests = [Request(prompt, (seed, "evaluate", index)) for index, prompt in enumerate(asked)]
    draw = Draw(
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        batch_size=max(32, config.answers_per_step),
    )
    rollout = draw_rollout(policy, requests, draw=draw, eos_id=eos_id, ranks=ranks)
    by_length = sorted(range(len(asked)), key=lambda i: len(asked[i]) + len(rollout.responses[i]))
    parts = torch.tensor(by_length).split(config.update.micro_batch_size)
    batches = [make_micro_batch(policy, rollout, rows) for rows in ranks.share_passes(parts)]
    members = score_rollout(score, rollout, ranks=ranks)
    judged = judge(policy, rollout, batches, members, temperature=config.temperature, ranks=ranks)
    found = rollout_metrics(rollout, judged)
    evaluation = Evaluation(step, {told: found[name] for name, told in NAMES.items() if name in found})
    chosen = range(min(config.keep.samples, len(prompts)))
    return evaluation, [_sampled(rollout, judged, index, index * config.eval_answers_per_prompt) for index in chosen]


def _sampled(rollout: Rollout, judged: Judged, index: int, row: int) -> SampledAnswer:
    log_ratio = (judged.logp - judged.ref_logp)[row][rollout.mask[row]].double()
    spread = {} if judged.disagreement is None else {"score_spread": float(judged.disagreement[row])}
    values = {
        "score": float(judged.scores[row]),
        **spread,
        "kl_nats_per_sequence": float(log_ratio.sum()),
        "response_tokens": float(len(rollout.responses[row])),
    }
    return SampledAnswer(index, rollout.responses[row], values)


@dataclass(slots=True)
class Choice:
    """The best weights so far: highest validation reward within the KL leash; the start is always allowed.

    What training takes from the reward for the heads' disagreement is taken here too.
    """

    leash: float | None
    disagreement_penalty: float = 0.0
    first: Evaluation | None = None
    best: Evaluation | None = None
    weights: dict[str, Tensor] | None = None

    def offer(self, evaluation: Evaluation, policy: Policy) -> bool:
        """Consider the policy as it is now; when it is the new choice (True) its weights are copied."""
        if self.first is None:
            self.first = self.best = evaluation
            return True
        assert self.best is not None
        if self.leash is not None and evaluation.kl > self.leash:
            return False
        if not self._worth(evaluation) > self._worth(self.best):
            return False
        self.best = evaluation
        self.weights = policy.copy_weights()
        return True

    def _worth(self, evaluation: Evaluation) -> float:
        return evaluation.reward - self.disagreement_penalty * evaluation.values.get("eval_reward_disagreement", 0.0)

    def apply(self, policy: Policy) -> None:
        """Put the chosen weights into the policy."""
        policy.put_weights(policy.initial_weights() if self.weights is None else self.weights)
