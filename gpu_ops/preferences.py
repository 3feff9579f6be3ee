"""Losses of a reward model on groups: every answer scored once, the group's comparisons averaged.

N answers, P pairs, G groups, M entries of strict orders. Scores in reward units, losses in nats. A group weighs
the same whatever its number of answers (InstructGPT, Ouyang et al. 2022, eq. 1: each prompt divided by its pairs).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from gpu_ops import checks

UNREACHABLE = -1e30  # stands for minus infinity where infinity would make a NaN gradient


def grouped_preference_loss(
    scores: Tensor,
    first: Tensor,
    second: Tensor,
    outcome: Tensor,
    group: Tensor,
    *,
    weight: Tensor | None = None,
    margin: Tensor | None = None,
    log_tie: Tensor | None = None,
    num_groups: int | None = None,
    denominator: float | Tensor | None = None,
) -> Tensor:
    """Mean over groups of the weighted mean over the group's pairs of -log P(outcome).

    With log_tie = ln nu (Davidson 1970), d = s_first - s_second and Z = e^{d/2} + e^{-d/2} + nu:
    P(first) = e^{d/2} / Z, P(second) = e^{-d/2} / Z, P(tie) = nu / Z. Without log_tie: Bradley-Terry, where a tie
    counts half for each side. A margin is taken from the winner: d - margin where first won, d + margin where second
    did.

    Args:
        scores: [N] carries the gradient. first, second: [P] int64 into scores. outcome: [P], 1 first preferred,
            0 tie, -1 second preferred. group: [P] int64, any numbers, or 0..num_groups-1 with num_groups.
        weight: [P] >= 0, for example the labeler's reliability. margin: [P] >= 0, reward units.
        log_tie: scalar, carries the gradient too.
        num_groups: refuse unless exactly these groups have pairs.
        denominator: the sum over groups is divided by this instead of by their number, for gradient accumulation.

    Returns:
        Scalar, float32 (float64 for float64 scores).

    Raises:
        ValueError: no pairs, a group without pairs or without weight, indices out of range, shapes that differ, a value
            not finite.
    """
    _check_pairs(scores, first, second, outcome, group, weight, margin)
    dtype = torch.promote_types(scores.dtype, torch.float32)
    scores = scores.to(dtype)
    difference = scores[first] - scores[second]
    if margin is not None:
        difference = difference - outcome.to(dtype) * margin.to(dtype)
    losses = _bradley_terry(difference, outcome) if log_tie is None else _davidson(difference, outcome, log_tie)
    weights = torch.ones_like(losses) if weight is None else weight.detach().to(dtype)
    index, count = _groups(group, num_groups)
    totals = weights.new_zeros(count).index_add(0, index, weights)
    if not bool((totals > 0).all()):
        raise ValueError(f"group {int(totals.argmin())} of {count} has a total weight of {float(totals.min())}")
    return _mean_over_groups(losses * (weights / totals[index]), count, denominator)


def _bradley_terry(difference: Tensor, outcome: Tensor) -> Tensor:
    """-log sigmoid of the signed difference; the mean of both signs for a tie. [P]"""
    won, lost = functional.softplus(-difference), functional.softplus(difference)
    return torch.where(outcome > 0, won, torch.where(outcome < 0, lost, (won + lost) / 2))


def _davidson(difference: Tensor, outcome: Tensor, log_tie: Tensor) -> Tensor:
    """-log P(outcome) of Davidson's model, [P]."""
    half = difference / 2
    ties = log_tie.to(half.dtype).reshape(()).expand_as(half)
    log_p = torch.log_softmax(torch.stack([-half, ties, half], dim=-1), dim=-1)
    return -log_p.gather(1, (outcome.long() + 1)[:, None]).squeeze(1)


def _check_pairs(
    scores: Tensor,
    first: Tensor,
    second: Tensor,
    outcome: Tensor,
    group: Tensor,
    weight: Tensor | None,
    margin: Tensor | None,
) -> None:
    _check_scores(scores)
    if not first.numel():
        raise ValueError(f"0 pairs for {scores.shape[0]} scores: the loss of an empty group is undefined")
    for name, index in (("first", first), ("second", second), ("group", group)):
        checks.is_index(name, index)
        checks.same_shape(name, index, "first", first)
    for name, index in (("first", first), ("second", second)):
        checks.within(name, index, scores.shape[0], f"there are {scores.shape[0]} scores")
    if bool((first == second).any()):
        raise ValueError(
            f"pair {int((first == second).nonzero()[0])} of {first.numel()} compares an answer with itself"
        )
    checks.same_shape("outcome", outcome, "first", first)
    if not bool(((outcome == 1) | (outcome == 0) | (outcome == -1)).all()):
        raise ValueError(f"outcome spans {float(outcome.min())}..{float(outcome.max())} but must be 1, 0 or -1")
    for name, values in (("weight", weight), ("margin", margin)):
        if values is not None:
            checks.same_shape(name, values, "first", first)
            checks.finite(name, values)
            if bool((values < 0).any()):
                raise ValueError(f"{name} has a least value of {float(values.min())} but must be >= 0")


def _check_scores(scores: Tensor) -> None:
    if scores.dim() != 1 or not scores.is_floating_point():
        raise ValueError(f"scores must be [N] floating point, got shape {tuple(scores.shape)} {scores.dtype}")
    checks.finite("scores", scores.detach())


def _groups(group: Tensor, num_groups: int | None) -> tuple[Tensor, int]:
    """Group numbers made dense, and how many there are."""
    present, index = torch.unique(group, return_inverse=True)
    if num_groups is None:
        return index, present.numel()
    checks.within("group", present, num_groups, f"num_groups is {num_groups}")
    if present.numel() != num_groups:
        raise ValueError(f"{num_groups - present.numel()} of {num_groups} groups are empty; leave them out")
    return index, num_groups


def _mean_over_groups(shares: Tensor, count: int, denominator: float | Tensor | None) -> Tensor:
    if denominator is None:
        return shares.sum() / count
    checks.denominator(denominator)
    return shares.sum() / denominator


def plackett_luce_loss(
    scores: Tensor,
    order: Tensor,
    group: Tensor,
    *,
    num_groups: int | None = None,
    denominator: float | Tensor | None = None,
) -> Tensor:
    """Mean over rankings of -log P(order) / (K - 1), P(order) = prod_{k<K} e^{s_k} / sum_{j>=k} e^{s_j} (Plackett
    1975).

    K - 1 is the number of choices made, so a ranking weighs the same whatever its K; K = 2 is Bradley-Terry.

    Args:
        scores: [N] carries the gradient.
        order: [M] int64 into scores, each ranking's answers best first, one ranking after the other, no ties.
        group: [M] int64, the ranking that each entry belongs to; the entries of a ranking stand together.
        num_groups: refuse unless exactly these rankings are there. denominator: as in grouped_preference_loss.

    Raises:
        ValueError: no entries, a ranking of one answer, in pieces or with an answer twice, indices out of range.
    """
    _check_scores(scores)
    for name, index in (("order", order), ("group", group)):
        checks.is_index(name, index)
        checks.same_shape(name, index, "order", order)
    if not order.numel():
        raise ValueError(f"0 entries for {scores.shape[0]} scores: the loss of an empty group is undefined")
    checks.within("order", order, scores.shape[0], f"there are {scores.shape[0]} scores")
    _groups(group, num_groups)
    labels, index, lengths = torch.unique_consecutive(group, return_inverse=True, return_counts=True)
    _check_rankings(order, labels, index, lengths, scores.shape[0])
    starts = lengths.cumsum(0) - lengths
    column = torch.arange(order.numel(), device=order.device) - starts[index]
    dtype = torch.promote_types(scores.dtype, torch.float32)
    count = lengths.numel()
    table = scores.new_full((count, int(lengths.max())), UNREACHABLE, dtype=dtype)
    table = table.index_put((index, column), scores.to(dtype)[order])
    remaining = table.flip(1).logcumsumexp(1).flip(1)
    choices = torch.arange(table.shape[1], device=order.device)[None] < (lengths - 1)[:, None]
    losses = torch.where(choices, remaining - table, torch.zeros_like(table)).sum(1) / (lengths - 1)
    return _mean_over_groups(losses, count, denominator)


def _check_rankings(order: Tensor, labels: Tensor, index: Tensor, lengths: Tensor, num_scores: int) -> None:
    if torch.unique(labels).numel() != labels.numel():
        raise ValueError(f"{torch.unique(labels).numel()} groups come in {labels.numel()} pieces; keep each together")
    if int(lengths.min()) < 2:
        raise ValueError(f"group {int(labels[lengths.argmin()])} ranks {int(lengths.min())} answer; a ranking needs 2")
    distinct = torch.unique(index * num_scores + order).numel()
    if distinct != order.numel():
        raise ValueError(f"order has {order.numel()} entries but {distinct} distinct ones; an answer stands twice")
