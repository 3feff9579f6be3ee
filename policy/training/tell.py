"""The metrics of one step. docs/metrics.md explains each; a test holds the two together."""

from __future__ import annotations

import math
import statistics
import time

import torch
from torch import Tensor

from policy.training.credit import Credit
from policy.training.learn import Learned
from policy.training.rollout import Judged, Rollout


class Seconds:
    """Wall-clock and CPU seconds of the parts of a step."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = {}
        self._started = self._last = time.monotonic()
        self._cpu = time.process_time()

    def lap(self, name: str) -> None:
        """Close the part `name`."""
        now = time.monotonic()
        self.wall[name] = now - self._last
        self._last = now

    def metrics(self) -> dict[str, float]:
        """Seconds by part, of the whole step, and of processor time over all threads."""
        parts = {f"{name}_seconds": seconds for name, seconds in self.wall.items()}
        return {**parts, "step_seconds": self._last - self._started, "cpu_seconds": time.process_time() - self._cpu}


def step_metrics(
    rollout: Rollout, judged: Judged, credit: Credit, learned: Learned, clock: Seconds
) -> dict[str, float]:
    """Metrics of one step, all finite except where nothing could be measured."""
    return {
        **rollout_metrics(rollout, judged),
        **_credit_metrics(rollout, judged, credit),
        **_update_metrics(learned),
        **clock.metrics(),
    }


def rollout_metrics(rollout: Rollout, judged: Judged) -> dict[str, float]:
    """What the answers are like. KL is to the reference; names say per sequence or per token."""
    mask, count = rollout.mask, len(rollout.responses)
    tokens = int(mask.sum())
    log_ratio = (judged.logp - judged.ref_logp)[mask].double()
    k1 = float(log_ratio.sum())
    k3 = float((torch.expm1(-log_ratio) + log_ratio).sum())
    disagreement = {} if judged.disagreement is None else {"reward_disagreement": float(judged.disagreement.mean())}
    return {
        "reward_mean": float(judged.scores.mean()),
        "reward_std": _std(judged.scores),
        **disagreement,
        "kl_nats_per_sequence": k1 / count,
        "kl_nats_per_token": k1 / tokens,
        "kl_k3_nats_per_sequence": k3 / count,
        "entropy_nats_per_token": float(judged.entropy[mask].double().mean()),
        "response_tokens_mean": tokens / count,
        "finished_share": float(rollout.finished.double().mean()),
    }


def explained_variance(values: Tensor, returns: Tensor) -> float:
    """1 - Var(returns - values) / Var(returns) over real tokens [N]; not a number where returns do not vary."""
    variance = float(returns.double().var(unbiased=False))
    if variance == 0:
        return math.nan
    return 1 - float((returns - values).double().var(unbiased=False)) / variance


def _credit_metrics(rollout: Rollout, judged: Judged, credit: Credit) -> dict[str, float]:
    mask = rollout.mask
    sampler_gap = (rollout.sampler_logp - judged.logp)[mask].double()
    return {
        "reward_shaped_mean": float(credit.shaped.mean()),
        "reward_clipped_share": credit.clipped_share,
        "missing_eos_answers": float((~rollout.finished).sum()),
        "advantage_std": credit.raw_advantage_std,
        "value_mean": float(judged.values[mask].double().mean()),
        "return_mean": float(credit.returns[mask].double().mean()),
        "explained_variance": explained_variance(judged.values[mask], credit.returns[mask]),
        "sampler_logp_gap_std": _std(sampler_gap),
    }


def _update_metrics(learned: Learned) -> dict[str, float]:
    tokens = learned.tokens
    losses = learned.imitation_losses
    return {
        **({"imitation_loss_nats_per_token": statistics.fmean(losses)} if losses else {}),
        "policy_loss": learned.sums["policy_loss"] / tokens,
        "value_loss": learned.sums["value_loss"] / tokens,
        "update_kl_k1_nats_per_token": learned.sums["approx_kl_k1"] / tokens,
        "update_kl_k3_nats_per_token": learned.last_kl,
        "clip_fraction": learned.sums["clip_fraction"] / tokens,
        "value_clip_fraction": learned.sums["value_clip_fraction"] / tokens,
        "clamped_tokens": learned.sums["clamped"],
        "ratio_max": learned.ratio_max,
        "first_ratio_error": learned.first_ratio_error,
        "grad_norm": learned.grad_norm / max(1, learned.updates),
        "updates": float(learned.updates),
        "skipped_updates": float(learned.skipped),
        "update_stopped_early": float(learned.stopped_early),
    }


def _std(values: Tensor) -> float:
    return float(values.double().std()) if values.numel() > 1 else 0.0
