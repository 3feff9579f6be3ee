"""Losses of a reward model on groups: every answer scored once, the group's comparisons averaged.

N answers, P pairs, G groups, M entries of strict orders. Scores in reward units, losses in nats. A group weighs
the same whatever its number of answers (InstructGPT, Ouyang et al. 2022, eq. 1: each prompt divided by its pairs).
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from gpu_ops import checks

Ties = Literal["davidson", "rao-kupper"]

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
    certainty: Tensor | None = None,
    group_weight: Tensor | None = None,
    log_tie: Tensor | None = None,
    ties: Ties = "davidson",
    num_groups: int | None = None,
    denominator: float | Tensor | None = None,
) -> Tensor:
    """Mean over groups of the weighted mean over the group's pairs of -log P(outcome).

    With d = s_first - s_second and log_tie, ties have a probability of their own:

        davidson (1970)           Z = e^{d/2} + e^{-d/2} + nu: P(first) = e^{d/2} / Z, P(second) = e^{-d/2} / Z,
                                  P(tie) = nu / Z; nu = e^log_tie, the odds of a tie to one side's win are nu at d = 0.
        rao-kupper (1967)         P(first) = sigmoid(d - eta), P(second) = sigmoid(-d - eta), P(tie) is the rest;
                                  eta = e^log_tie, differences below eta are mostly not noticed.

    Without log_tie: Bradley-Terry, where a tie counts half for each side. A margin is taken from the winner: d - margin
    where first won, d + margin where second did. A soft label of certainty c counts c for the outcome and 1 - c for its
    opposite; it leaves a tie as it is.

    Args:
        scores: [N] carries the gradient. first, second: [P] int64 into scores. outcome: [P], 1 first preferred,
            0 tie, -1 second preferred. group: [P] int64, any numbers, or 0..num_groups-1 with num_groups.
        weight: [P] >= 0, for example the labeler's reliability. margin: [P] >= 0, reward units.
        certainty: [P] in [0, 1]. group_weight: [num_groups] >= 0, how often each group counts; needs num_groups.
        log_tie: scalar, carries the gradient too.
        num_groups: refuse unless exactly these groups have pairs.
        denominator: the sum over groups is divided by this instead of by their number, for gradient accumulation.

    Returns:
        Scalar, float32 (float64 for float64 scores).

    Raises:
        ValueError: no pairs, a group without pairs or without weight, indices out of range, shapes that differ, a value
            not finite or out of its range.
    """
    _check_pairs(scores, first, second, outcome, group, weight=weight, margin=margin, certainty=certainty)
    dtype = torch.promote_types(scores.dtype, torch.float32)
    scores = scores.to(dtype)
    difference = scores[first] - scores[second]
    if margin is not None:
        difference = difference - outcome.to(dtype) * margin.to(dtype)
    losses = _by_outcome(difference, log_tie, ties)
    stated = _pick(losses, outcome)
    if certainty is not None:
        sure = certainty.detach().to(dtype)
        stated = sure * stated + (1 - sure) * _pick(losses, -outcome)
    weights = torch.ones_like(stated) if weight is None else weight.detach().to(dtype)
    index, count = _groups(group, num_groups)
    totals = weights.new_zeros(count).index_add(0, index, weights)
    if not bool((totals > 0).all()):
        raise ValueError(f"group {int(totals.argmin())} of {count} has a total weight of {float(totals.min())}")
    shares = weights / totals[index]
    if group_weight is not None:
        shares = shares * _checked_group_weight(group_weight, num_groups).to(dtype)[index]
    return _mean_over_groups(stated * shares, count, denominator)


def _by_outcome(difference: Tensor, log_tie: Tensor | None, ties: Ties) -> Tensor:
    """-log P of second preferred, tie, first preferred: [P, 3]."""
    if log_tie is None:
        won, lost = functional.softplus(-difference), functional.softplus(difference)
        return torch.stack([lost, (won + lost) / 2, won], dim=-1)
    log_tie = log_tie.to(difference.dtype).reshape(())
    if ties == "davidson":
        half = difference / 2
        return -torch.log_softmax(torch.stack([-half, log_tie.expand_as(half), half], dim=-1), dim=-1)
    if ties == "rao-kupper":
        # P(tie) = (e^{2 eta} - 1) sigmoid(d - eta) sigmoid(-d - eta), with e^{2 eta} - 1 taken apart to stay finite.
        eta = log_tie.exp()
        won, lost = functional.softplus(eta - difference), functional.softplus(eta + difference)
        return torch.stack([lost, won + lost - 2 * eta - torch.log(-torch.expm1(-2 * eta)), won], dim=-1)
    raise ValueError(f"ties must be one of {', '.join(get_args(Ties))}, not {ties!r}")


def _pick(losses: Tensor, outcome: Tensor) -> Tensor:
    return losses.gather(1, (outcome.long() + 1)[:, None]).squeeze(1)


def _checked_group_weight(weight: Tensor, num_groups: int | None, *, name: str = "group_weight") -> Tensor:
    if num_groups is None or weight.shape != (num_groups,):
        raise ValueError(f"{name} {tuple(weight.shape)} must be [num_groups], and num_groups is {num_groups}")
    checks.finite(name, weight)
    if bool((weight < 0).any()):
        raise ValueError(f"{name} has a least value of {float(weight.min())} but must be >= 0")
    return weight.detach()


def _check_pairs(
    scores: Tensor,
    first: Tensor,
    second: Tensor,
    outcome: Tensor,
    group: Tensor,
    **values: Tensor | None,
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
    for name, given in values.items():
        if given is None:
            continue
        checks.same_shape(name, given, "first", first)
        checks.finite(name, given)
        if bool((given < 0).any()):
            raise ValueError(f"{name} has a least value of {float(given.min())} but must be >= 0")
        if name == "certainty" and bool((given > 1).any()):
            raise ValueError(f"certainty has a greatest value of {float(given.max())} but must be <= 1")


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
    tied: Tensor | None = None,
    weight: Tensor | None = None,
    num_groups: int | None = None,
    denominator: float | Tensor | None = None,
) -> Tensor:
    """Mean over rankings of -log P(order) / choices, P(order) = prod_{k<K} e^{s_k} / sum_{j>=k} e^{s_j}.

    A ranking of K answers makes K - 1 choices, so it weighs the same whatever its K; K = 2 is Bradley-Terry (Plackett
    1975). Tied answers each choose from all that stand there or below (Breslow 1974): a tie of two answers is
    Bradley-Terry's half for each. A tie at the bottom makes K choices.

    Args:
        scores: [N] carries the gradient.
        order: [M] int64 into scores, each ranking's answers best first, one ranking after the other.
        group: [M] int64, the ranking that each entry belongs to; the entries of a ranking stand together.
        tied: [M] bool, True where an entry is as good as the one before it.
        weight: [rankings] >= 0 in the order they stand, how often each counts.
        num_groups: refuse unless exactly these rankings are there. denominator: as in grouped_preference_loss.

    Raises:
        ValueError: no entries, a ranking of one answer, in pieces or with an answer twice, one that begins with a tie,
            indices out of range, weights that are not finite or below 0.
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
    place = index, torch.arange(order.numel(), device=order.device) - starts[index]
    dtype = torch.promote_types(scores.dtype, torch.float32)
    shape = lengths.numel(), int(lengths.max())
    table = scores.new_full(shape, UNREACHABLE, dtype=dtype).index_put(place, scores.to(dtype)[order])
    remaining = table.flip(1).logcumsumexp(1).flip(1)
    column = torch.arange(shape[1], device=order.device).expand(shape)
    is_choice = column < (lengths - 1)[:, None]
    if tied is not None:
        checks.same_shape("tied", tied, "order", order)
        ties = torch.zeros(shape, dtype=torch.bool, device=order.device).index_put(place, tied.bool())
        if bool(ties[:, 0].any()):
            raise ValueError(f"group {int(labels[ties[:, 0]][0])} begins with a tie to an entry before it")
        # The first of each run of ties says from how many they choose; a tie at the bottom is a choice too.
        remaining = remaining.gather(1, torch.where(ties, 0, column).cummax(1).values)
        is_choice = is_choice | ties
    losses = torch.where(is_choice, remaining - table, torch.zeros_like(table)).sum(1) / is_choice.sum(1)
    if weight is not None:
        losses = losses * _checked_group_weight(weight, lengths.numel(), name="weight").to(dtype)
    return _mean_over_groups(losses, lengths.numel(), denominator)


def _check_rankings(order: Tensor, labels: Tensor, index: Tensor, lengths: Tensor, num_scores: int) -> None:
    if torch.unique(labels).numel() != labels.numel():
        raise ValueError(f"{torch.unique(labels).numel()} groups come in {labels.numel()} pieces; keep each together")
    if int(lengths.min()) < 2:
        raise ValueError(f"group {int(labels[lengths.argmin()])} ranks {int(lengths.min())} answer; a ranking needs 2")
    distinct = torch.unique(index * num_scores + order).numel()
    if distinct != order.numel():
        raise ValueError(f"order has {order.numel()} entries but {distinct} distinct ones; an answer stands twice")
