"""A running average of the policy's weights over PPO steps, which answers more steadily than the last weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from policy.training.trunk import Policy


@dataclass(slots=True)
class WeightAverage:
    """average = decay * average + (1 - decay) * weights after every step (Ouyang et al. 2022, appendix C.4: .992).

    Starts at the weights before the first step. Holds one more copy of what is trained of the language model.
    """

    decay: float
    weights: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    @torch.no_grad()
    def start(cls, policy: Policy, decay: float) -> WeightAverage:
        """The average of nothing but the weights as they are."""
        return cls(decay, {name: p.detach().clone() for name, p in policy.trained_model()})

    @torch.no_grad()
    def update(self, policy: Policy) -> None:
        """Count the weights as they are now. Call once a PPO step."""
        for name, parameter in policy.trained_model():
            self.weights[name].lerp_(parameter, 1 - self.decay)

    @contextmanager
    @torch.no_grad()
    def in_place(self, policy: Policy) -> Iterator[None]:
        """The policy with the averaged weights; afterwards it has its own again."""
        kept = {name: p.detach().clone() for name, p in policy.trained_model()}
        self._put(policy, self.weights)
        try:
            yield
        finally:
            self._put(policy, kept)

    @staticmethod
    @torch.no_grad()
    def _put(policy: Policy, weights: dict[str, Tensor]) -> None:
        for name, parameter in policy.trained_model():
            parameter.copy_(weights[name])
