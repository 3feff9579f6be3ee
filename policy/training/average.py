"""A running average of the policy's weights over PPO steps, which answers more steadily than the last weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from policy.training.trunk import Policy


@dataclass(slots=True)
class WeightAverage:
    """average = decay * average + (1 - decay) * weights after every step (Ouyang et al. 2022, appendix C.4: .992).

    Starts at the weights before the first step. Holds one more copy of what is trained of the language model.
    """

    decay: float
    weights: dict[str, Tensor]

    @classmethod
    def start(cls, policy: Policy, decay: float) -> WeightAverage:
        """The average of nothing but the weights as they are."""
        return cls(decay, policy.copy_weights())

    @torch.no_grad()
    def update(self, policy: Policy) -> None:
        """Count the weights as they are now. Call once a PPO step."""
        for name, parameter in policy.trained_model():
            self.weights[name].lerp_(parameter, 1 - self.decay)

    @contextmanager
    def in_place(self, policy: Policy) -> Iterator[None]:
        """The policy with the averaged weights; afterwards it has its own again."""
        kept = policy.copy_weights()
        policy.put_weights(self.weights)
        try:
            yield
        finally:
            policy.put_weights(kept)
