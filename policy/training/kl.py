"""Coefficients of the KL penalty (reward units per nat), fixed or steered; nats per *sequence* throughout."""

from __future__ import annotations

from dataclasses import dataclass

from policy.training.config import KLConfig

ERROR_LIMIT = 0.2


@dataclass(slots=True)
class FixedKL:
    """The same coefficient throughout."""

    coefficient: float

    def update(self, kl_nats_per_sequence: float, num_answers: int) -> None:
        """Nothing to learn."""


@dataclass(slots=True)
class AdaptiveKL:
    """coefficient *= 1 + clip(KL / target - 1, ±0.2) * answers / horizon (Ziegler et al. 2019, section 2.2)."""

    coefficient: float
    target: float
    horizon: int

    def update(self, kl_nats_per_sequence: float, num_answers: int) -> None:
        """Raise the coefficient when KL was above the target, lower it when below. Call once a rollout."""
        error = max(-ERROR_LIMIT, min(ERROR_LIMIT, kl_nats_per_sequence / self.target - 1))
        self.coefficient *= 1 + error * num_answers / self.horizon


KLController = FixedKL | AdaptiveKL


def make_controller(config: KLConfig) -> KLController:
    """The controller that the config names."""
    if config.controller == "fixed":
        return FixedKL(config.coefficient)
    return AdaptiveKL(config.coefficient, config.target_kl_nats_per_sequence, config.horizon_answers)
