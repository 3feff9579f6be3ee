"""The head as a linear probe: a convex fit, checked by its optimality conditions and through a whole run."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from reward.training.config import ObjectiveConfig
from reward.training.groups import Answer, Group, Pair
from reward.training.objective import Objective
from reward.training.packing import Prefixed
from reward.training.probe import Probe, fit_probe
from reward.training.reward_model import RewardModel

GROUP = Prefixed([1], [[70, 71, 2], [80, 2]])


def pair(first: int, second: int, outcome: int, weight: float = 1.0) -> Pair:
    return Pair(first, second, outcome, weight, "somebody", None)


GROUPS = [
    Group("a", "train", [1], [Answer([5], 1)] * 3, [pair(0, 1, 1), pair(1, 2, 0, 2.0), pair(2, 0, -1)]),
    Group("b", "train", [1], [Answer([5], 1)] * 2, [pair(0, 1, -1), pair(1, 0, 1, 0.5)]),
]


def objective(weights: torch.Tensor, log_tie: torch.Tensor, features: torch.Tensor, l2: float) -> torch.Tensor:
    """The same objective from Davidson's formula, written out pair by pair."""
    scores, offset, total = features @ weights[0], 0, torch.zeros((), dtype=torch.float64)
    for group in GROUPS:
        nats, mass = torch.zeros((), dtype=torch.float64), 0.0
        for p in group.pairs:
            difference = scores[offset + p.first] - scores[offset + p.second]
            won, lost, tie = torch.exp(difference / 2), torch.exp(-difference / 2), torch.exp(log_tie[0])
            chance = {1: won, -1: lost, 0: tie}[p.outcome] / (won + lost + tie)
            nats, mass = nats - p.weight * chance.log(), mass + 1
        total, offset = total + nats / mass, offset + len(group.answers)
    return total / len(GROUPS) + l2 / 2 * (weights.square().sum() + log_tie.square().sum())


def fitted(l2: float, features: torch.Tensor) -> Probe:
    return fit_probe(features, GROUPS, Objective(ObjectiveConfig(), GROUPS), l2=l2)


@pytest.mark.parametrize("l2", [0.01, 1.0])
def test_no_direction_improves_the_fit(l2: float) -> None:
    features = torch.randn(5, 8, generator=torch.Generator().manual_seed(1))
    probe = fitted(l2, features)
    weights = probe.head_weight.double().requires_grad_()
    log_tie = probe.log_tie.double().requires_grad_()

    value = objective(weights, log_tie, features.double(), l2)
    gradients = torch.autograd.grad(value, [weights, log_tie])

    assert max(float(g.abs().max()) for g in gradients) < 1e-5
    penalty = l2 / 2 * (probe.head_weight.square().sum() + probe.log_tie.square().sum())
    assert probe.loss == pytest.approx(float(value.detach() - penalty), abs=1e-6)


def test_a_greater_penalty_gives_a_shorter_head_and_none_wins_by_length_alone() -> None:
    features = torch.randn(5, 8, generator=torch.Generator().manual_seed(2))
    norms = [float(fitted(l2, features).head_weight.norm()) for l2 in (1e-3, 1e-1, 10.0)]
    assert norms == sorted(norms, reverse=True)
    assert all(math.isfinite(norm) for norm in norms)


def test_features_are_what_the_head_reads(tiny: Path) -> None:
    model = RewardModel.from_base(tiny, seed=0)
    with torch.no_grad():
        torch.testing.assert_close(model.features([GROUP]) @ model.head_weight[0], model.score([GROUP]))
