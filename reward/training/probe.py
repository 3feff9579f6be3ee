"""The reward head as a linear probe: fitted to the rankings before the backbone moves.

Fine-tuning under a random or empty head distorts features that were good already; a head that fits them first does not
(LP-FT, Kumar et al. 2022, arXiv:2202.10054). The fit is convex, so it has one answer and no learning rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gpu_ops import grouped_preference_loss
from reward.training.groups import Group
from reward.training.trainer import pair_tensors

MAX_ITERATIONS = 200


class Probe(NamedTuple):
    """head_weight: [D] float32. log_tie: [1] float32. loss: nats, mean over groups, without the penalty."""

    head_weight: Tensor
    log_tie: Tensor
    loss: float


def fit_probe(features: Tensor, groups: Sequence[Group], *, l2: float, margins: Sequence[float]) -> Probe:
    """Minimise the preference loss plus l2 / 2 · (‖w‖² + log_tie²) by L-BFGS in float64, from zero.

    Args:
        features: [N, D], a row for each answer of `groups` laid end to end; carries no gradient.
        l2: penalty, above 0: with fewer pairs than dimensions the loss alone has no minimum.
    """
    pairs = pair_tensors(groups, margins)
    inputs = features.detach().double().cpu()
    # The last entry is log_tie: Davidson's log-probabilities are linear in both, which makes the whole convex.
    parameters = torch.zeros(inputs.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([parameters], max_iter=MAX_ITERATIONS, line_search_fn="strong_wolfe")

    def preference_loss() -> Tensor:
        return grouped_preference_loss(
            inputs @ parameters[:-1],
            pairs.first,
            pairs.second,
            pairs.outcome,
            pairs.group,
            weight=pairs.weight,
            margin=pairs.margin,
            log_tie=parameters[-1:],
        )

    def closure() -> Tensor:
        optimizer.zero_grad()
        objective = preference_loss() + l2 / 2 * parameters.square().sum()
        objective.backward()  # type: ignore[no-untyped-call]
        return objective

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        loss = float(preference_loss())
        return Probe(parameters[:-1].float(), parameters[-1:].float(), loss)
