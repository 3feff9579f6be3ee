"""The reward head as a linear probe: fitted to the rankings before the backbone moves.

Fine-tuning under a random or empty head distorts features that were good already; a head that fits them first does not
(LP-FT, Kumar et al. 2022, arXiv:2202.10054). The fit is convex, so it has one answer and no learning rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from reward.training.groups import Group
from reward.training.objective import Learned, Objective

MAX_ITERATIONS = 200


class Probe(NamedTuple):
    """head_weight: [M, D]; log_tie: [1]; anchor: [M], all float32. loss: nats, without the penalty."""

    head_weight: Tensor
    log_tie: Tensor
    anchor: Tensor
    loss: float


def fit_probe(features: Tensor, groups: Sequence[Group], objective: Objective, *, l2: float) -> Probe:
    """Minimise, for each head, the loss plus l2 / 2 · (‖w‖² + log_tie² + anchor²) by L-BFGS in float64, from zero.

    Args:
        features: [A, D], a row for each answer of `groups` laid end to end; carries no gradient.
        l2: penalty, above 0: with fewer pairs than dimensions the loss alone has no minimum.
    """
    inputs = features.detach().double().cpu()
    size = inputs.shape[1]
    # For Davidson all log-probabilities are linear in what is learned, log_tie too, which makes the whole convex.
    weights = torch.zeros(objective.heads, size, dtype=torch.float64, requires_grad=True)
    log_tie = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    anchor = torch.zeros(objective.heads, dtype=torch.float64, requires_grad=True)
    parameters = [weights, log_tie, anchor]
    optimizer = torch.optim.LBFGS(
        parameters, max_iter=MAX_ITERATIONS, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    said = objective.read(groups, inputs)

    def loss() -> Tensor:
        return objective.loss_of(inputs @ weights.T, said, Learned(log_tie, anchor), denominator=len(groups))

    def closure() -> Tensor:
        optimizer.zero_grad()
        penalty = torch.stack([parameter.square().sum() for parameter in parameters]).sum()
        whole = objective.heads * loss() + l2 / 2 * penalty
        whole.backward()  # type: ignore[no-untyped-call]
        return whole

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        return Probe(weights.float(), log_tie.float(), anchor.float(), float(loss()))
