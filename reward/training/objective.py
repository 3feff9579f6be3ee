"""What people said as a loss on scores.

A answers laid end to end, P words (of one labeler on two scores), M heads, G groups.

Every labeler's word on two of a group's answers counts in the likelihood that `ObjectiveConfig` names, averaged over
the group's words, so a prompt weighs the same whatever its number of answers. Beside it stand verdicts: an answer that
is not acceptable (the labeler found none acceptable, or could not rank it) loses to the anchor, a learned score of what
is acceptable; the best answer of a ranking that holds something acceptable wins over it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gpu_ops import grouped_preference_loss, plackett_luce_loss
from reward.training.config import ObjectiveConfig
from reward.training.groups import Group
from reward.training.orders import orders_of
from reward.training.reliability import estimate_reliability, labeler_weights


class Learned(NamedTuple):
    """What is learned beside the scores. log_tie: [1]; anchor: [M], reward units."""

    log_tie: Tensor
    anchor: Tensor


class Word(NamedTuple):
    """One labeler's word on two scores; `outcome` 1: the first is better, 0: a tie, -1: the second is."""

    first: int
    second: int
    outcome: int
    group: int
    weight: float
    margin: float = 0.0
    certainty: float = 1.0


class Comparisons(NamedTuple):
    """Words with a weight, as tensors. groups: [g] int64, those that have any; group_of points into them."""

    first: Tensor  # [P] int64
    second: Tensor  # [P] int64
    outcome: Tensor  # [P] int64
    weight: Tensor  # [P]
    margin: Tensor  # [P] reward units
    certainty: Tensor  # [P]
    group_of: Tensor  # [P] int64
    groups: Tensor  # [g] int64
    mean_weight: Tensor  # [g], over all words of the group, those of weight 0 too


class Orders(NamedTuple):
    """Rankings with ties as `plackett_luce_loss` takes them. groups: [R] int64; weight: [R], its share of its group."""

    answers: Tensor
    ranking: Tensor
    tied: Tensor
    groups: Tensor
    weight: Tensor


class Said(NamedTuple):
    """What was said in some groups, as tensors; A answers stand before the anchor. None: nothing with a weight."""

    preferences: Comparisons | Orders | None
    verdicts: Comparisons | None
    prompt_weights: Tensor  # [G, M]


class Objective:
    """The loss of one run: it knows every labeler's weight and how often each prompt counts for each head."""

    def __init__(self, config: ObjectiveConfig, groups: Sequence[Group], *, heads: int = 1, seed: int = 0) -> None:
        """groups: the training groups, from which the labelers' reliability is estimated."""
        self.config = config
        self.heads = heads
        self.seed = seed
        self.learns_ties = config.likelihood in ("davidson", "rao-kupper")
        self.reliability = estimate_reliability(groups)
        self.weights = labeler_weights(self.reliability) if config.reliability == "agreement" else {}
        verdicts = {verdict.acceptable for group in groups for verdict in group.verdicts}
        # With words of one kind only the anchor would drift away from the answers for ever.
        self.uses_anchor = config.anchor_weight > 0 and verdicts == {True, False}

    def loss(self, members: Tensor, groups: Sequence[Group], learned: Learned, *, denominator: float) -> Tensor:
        """Mean over heads of the sum over groups divided by `denominator`, in nats. members: [A, M]."""
        return self.loss_of(members, self.read(groups, members), learned, denominator=denominator)

    def read(self, groups: Sequence[Group], like: Tensor) -> Said:
        """What was said in `groups`, reals in the dtype of `like`: for more than one `loss_of` the same groups."""
        answers = sum(len(group.answers) for group in groups)
        return Said(
            self._orders(groups, like) if self._ranks else compare(self._preferences(groups), like),
            compare(self._verdicts(groups, anchor=answers), like) if self.uses_anchor else None,
            self._prompt_weights(groups).to(like),
        )

    def loss_of(self, members: Tensor, said: Said, learned: Learned, *, denominator: float) -> Tensor:
        """As `loss`, of words that were read before."""
        with_anchor = torch.cat([members, learned.anchor[None].to(members.dtype)])
        losses = []
        for scores, weight in zip(with_anchor.T, said.prompt_weights.T, strict=True):
            loss = self._words_loss(scores, said.preferences, weight, learned.log_tie, denominator)
            if said.verdicts is not None:
                loss = loss + self.config.anchor_weight * _comparison_loss(scores, said.verdicts, weight, denominator)
            losses.append(loss)
        return torch.stack(losses).mean()

    @property
    def _ranks(self) -> bool:
        return self.config.likelihood == "plackett-luce"

    def _words_loss(
        self, scores: Tensor, said: Comparisons | Orders | None, weight: Tensor, log_tie: Tensor, denominator: float
    ) -> Tensor:
        if said is None:
            return scores.sum() * 0
        if isinstance(said, Orders):
            shares = said.weight * weight[said.groups]
            return plackett_luce_loss(
                scores, said.answers, said.ranking, tied=said.tied, weight=shares, denominator=denominator
            )
        return _comparison_loss(
            scores,
            said,
            weight,
            denominator,
            log_tie=log_tie if self.learns_ties else None,
            is_rao_kupper=self.config.likelihood == "rao-kupper",
        )

    def _prompt_weights(self, groups: Sequence[Group]) -> Tensor:
        """[G, M] how often a prompt stands in each head's bootstrap resample, about Poisson(1); 1 for a single head."""
        if self.heads == 1:
            return torch.ones(len(groups), 1)
        keys = [hashlib.sha256(f"{self.seed}|{group.prompt_id}".encode()).digest()[:8] for group in groups]
        counts = [np.random.default_rng(int.from_bytes(key)).poisson(1.0, self.heads) for key in keys]
        return torch.from_numpy(np.stack(counts))

    def _weight(self, labeler: str, weight: float) -> float:
        return weight * self.weights.get(labeler, 1.0)

    def _preferences(self, groups: Sequence[Group]) -> Iterator[Word]:
        margins, certainties = (0.0, *self.config.margins), (1.0, *self.config.certainties)
        for number, offset, group in _laid_out(groups):
            for pair in group.pairs:
                weight, strength = self._weight(pair.labeler, pair.weight), pair.strength or 0
                first, second = offset + pair.first, offset + pair.second
                yield Word(first, second, pair.outcome, number, weight, margins[strength], certainties[strength])

    def _verdicts(self, groups: Sequence[Group], anchor: int) -> Iterator[Word]:
        """Words on an answer and the anchor, whose place is `anchor`."""
        for number, offset, group in _laid_out(groups):
            for verdict in group.verdicts:
                weight = self._weight(verdict.labeler, verdict.weight)
                yield Word(offset + verdict.answer, anchor, 1 if verdict.acceptable else -1, number, weight)

    def _orders(self, groups: Sequence[Group], like: Tensor) -> Orders | None:
        answers: list[int] = []
        tied: list[bool] = []
        ranking: list[int] = []
        rankings: list[tuple[int, float]] = []
        for number, offset, group in _laid_out(groups):
            orders = orders_of(group)
            for order in orders:
                answers += [offset + answer for answer in order.answers]
                tied += order.tied
                ranking += [len(rankings)] * len(order.answers)
                rankings.append((number, self._weight(order.labeler, order.weight) / len(orders)))
        if not rankings:
            return None
        device = like.device
        places, index, ties = (torch.tensor(column, device=device) for column in (answers, ranking, tied))
        numbers, weights = zip(*rankings, strict=True)
        return Orders(places, index, ties, torch.tensor(numbers, device=device), torch.tensor(weights).to(like))


def compare(words: Iterable[Word], like: Tensor) -> Comparisons | None:
    """Words as tensors, reals in the dtype of `like`; None where none of them has a weight."""
    said = list(words)
    heard = [word for word in said if word.weight > 0]
    if not heard:
        return None
    first, second, outcome, group, *real = zip(*heard, strict=True)
    left, right, better = (torch.tensor(column, device=like.device) for column in (first, second, outcome))
    weight, margin, certainty = (torch.tensor(column, dtype=like.dtype, device=like.device) for column in real)
    groups, group_of = torch.unique(torch.tensor(group, device=like.device), return_inverse=True)
    count = torch.bincount(torch.tensor([word.group for word in said], device=like.device))[groups]
    mean_weight = torch.zeros_like(count, dtype=like.dtype).index_add(0, group_of, weight) / count
    return Comparisons(left, right, better, weight, margin, certainty, group_of, groups, mean_weight)


def _comparison_loss(
    scores: Tensor,
    said: Comparisons,
    prompt_weight: Tensor,
    denominator: float,
    *,
    log_tie: Tensor | None = None,
    is_rao_kupper: bool = False,
) -> Tensor:
    """Sum over groups of prompt_weight [G] times the mean over the group's words of weight times -log P."""
    return grouped_preference_loss(
        scores,
        said.first,
        said.second,
        said.outcome,
        said.group_of,
        weight=said.weight,
        margin=said.margin,
        certainty=said.certainty,
        group_weight=prompt_weight[said.groups] * said.mean_weight,
        num_groups=len(said.groups),
        log_tie=log_tie,
        ties="rao-kupper" if is_rao_kupper else "davidson",
        denominator=denominator,
    )


def _laid_out(groups: Sequence[Group]) -> Iterator[tuple[int, int, Group]]:
    """(number, place of the first answer, group)."""
    offset = 0
    for number, group in enumerate(groups):
        yield number, offset, group
        offset += len(group.answers)
