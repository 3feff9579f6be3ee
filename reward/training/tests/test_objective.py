"""What people said as a loss: every likelihood against its formula, weights, verdicts, heads."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from reward.training.config import ObjectiveConfig
from reward.training.groups import Answer, Group, Pair, Verdict
from reward.training.objective import Learned, Objective

SCORES = torch.tensor([0.3, -0.2, 1.0, 0.0, -1.5])
TIE = Learned(torch.tensor([math.log(0.5)]), torch.zeros(1))


def pair(first: int, second: int, outcome: int, weight: float = 1.0, strength: int | None = None) -> Pair:
    return Pair(first, second, outcome, weight, "labeler", strength)


def group(name: str, answers: int, *pairs: Pair, verdicts: list[Verdict] | None = None) -> Group:
    return Group(name, "train", [1], [Answer([5], 1)] * answers, list(pairs), verdicts or [])


GROUPS = [
    group("a", 2, pair(0, 1, 1), pair(1, 0, 1, weight=3.0)),
    group("b", 3, pair(0, 2, 0), pair(1, 2, -1, strength=4), pair(0, 1, 1, strength=1)),
]


def loss(groups: list[Group], scores: Tensor = SCORES, *, learned: Learned = TIE, **config: Any) -> float:
    objective = Objective(ObjectiveConfig(**config), groups)
    return float(objective.loss(scores[:, None], groups, learned, denominator=len(groups)))


def davidson(difference: float, outcome: int) -> float:
    total = math.exp(difference / 2) + math.exp(-difference / 2) + 0.5
    return -math.log((0.5 if outcome == 0 else math.exp(outcome * difference / 2)) / total)


def logistic(difference: float) -> float:
    """-ln sigmoid."""
    return math.log1p(math.exp(-difference))


def test_davidson_averages_over_a_prompts_words_and_then_over_prompts() -> None:
    """Weights are not divided out: a word of weight 3 beside one of weight 1 makes its prompt count twice."""
    first = (davidson(0.5, 1) + 3 * davidson(-0.5, 1)) / 2
    second = (davidson(2.5, 0) + davidson(1.5, -1) + davidson(1.0, 1)) / 3
    assert loss(GROUPS) == pytest.approx((first + second) / 2, abs=1e-6)


def test_a_strength_is_a_margin_or_a_soft_label() -> None:
    second = [davidson(2.5, 0), davidson(1.5 + 0.4, -1), davidson(1.0 - 0.1, 1)]
    assert loss(GROUPS[1:], SCORES[2:], margins=(0.1, 0.2, 0.3, 0.4)) == pytest.approx(sum(second) / 3, abs=1e-6)
    soft = [davidson(2.5, 0), davidson(1.5, -1), 0.6 * davidson(1.0, 1) + 0.4 * davidson(1.0, -1)]
    assert loss(GROUPS[1:], SCORES[2:], certainties=(0.6, 0.7, 0.8, 1.0)) == pytest.approx(sum(soft) / 3, abs=1e-6)


def test_bradley_terry_and_rao_kupper_are_the_other_models_of_ties() -> None:
    half = (logistic(2.5) + logistic(-2.5)) / 2
    expected = (half + logistic(-1.5) + logistic(1.0)) / 3
    assert loss(GROUPS[1:], SCORES[2:], likelihood="bradley-terry") == pytest.approx(expected, abs=1e-6)
    eta = 0.5
    tie = -math.log(1 - math.exp(-logistic(2.5 - eta)) - math.exp(-logistic(-2.5 - eta)))
    expected = (tie + logistic(-1.5 - eta) + logistic(1.0 - eta)) / 3
    assert loss(GROUPS[1:], SCORES[2:], likelihood="rao-kupper") == pytest.approx(expected, abs=1e-6)


def test_plackett_luce_takes_a_labelers_ranking_at_once() -> None:
    """0 > 1 > 2 from one, a tie of 0 and 1 from another, who counts as much."""
    said = [pair(0, 1, 1), pair(2, 0, -1), pair(1, 2, 1), Pair(1, 0, 0, 1.0, "other", None)]
    scores = torch.tensor([1.0, 0.5, -1.0])
    e = scores.exp().tolist()
    ranking = (math.log(sum(e) / e[0]) + math.log((e[1] + e[2]) / e[1])) / 2
    tie = (logistic(0.5) + logistic(-0.5)) / 2
    assert loss([group("a", 3, *said)], scores, likelihood="plackett-luce") == pytest.approx(
        (ranking + tie) / 2, abs=1e-6
    )


def test_words_that_are_no_ranking_stay_pairs_for_plackett_luce() -> None:
    circle = [pair(0, 1, 1), pair(1, 2, 1), pair(2, 0, 1)]
    scores = torch.tensor([1.0, 0.5, -1.0])
    expected = (logistic(0.5) + logistic(1.5) + logistic(-2.0)) / 3 / 3
    assert loss([group("a", 3, *circle)], scores, likelihood="plackett-luce") == pytest.approx(expected, abs=1e-6)


def test_what_is_not_acceptable_loses_to_the_anchor() -> None:
    verdicts = [Verdict(0, True, 1.0, "labeler"), Verdict(1, False, 1.0, "labeler"), Verdict(1, False, 2.0, "other")]
    groups = [group("a", 2, pair(0, 1, 1), verdicts=verdicts)]
    learned = Learned(TIE.log_tie, torch.tensor([0.2]))
    expected = davidson(0.5, 1) + 0.7 * (logistic(0.1) + 3 * logistic(0.4)) / 3
    assert loss(groups, SCORES[:2], learned=learned, anchor_weight=0.7) == pytest.approx(expected, abs=1e-6)
    assert loss(groups, SCORES[:2], learned=learned, anchor_weight=0) == pytest.approx(davidson(0.5, 1), abs=1e-6)


def test_verdicts_of_one_kind_alone_are_left_out() -> None:
    groups = [group("a", 2, pair(0, 1, 1), verdicts=[Verdict(1, False, 1.0, "labeler")])]
    assert not Objective(ObjectiveConfig(), groups).uses_anchor
    assert loss(groups, SCORES[:2]) == pytest.approx(davidson(0.5, 1), abs=1e-6)


def test_a_group_of_verdicts_only_pulls_at_the_anchor() -> None:
    verdicts = [Verdict(0, False, 1.0, "labeler"), Verdict(1, True, 1.0, "labeler")]
    groups = [group("a", 2, verdicts=verdicts)]
    assert loss(groups, SCORES[:2], anchor_weight=1.0) == pytest.approx((logistic(-0.3) + logistic(-0.2)) / 2, abs=1e-6)


def hostile_groups(count: int = 30) -> list[Group]:
    """Three labelers agree that answer 0 is better; `hostile` says the opposite."""
    said = [Pair(0, 1, 1, 1.0, name, None) for name in ("ann", "bob", "cem")] + [Pair(0, 1, -1, 1.0, "hostile", None)]
    return [group(str(number), 2, *said) for number in range(count)]


def test_a_hostile_labelers_words_count_for_nothing() -> None:
    groups = hostile_groups()
    objective = Objective(ObjectiveConfig(reliability="agreement"), groups)
    found = float(objective.loss(SCORES[:2, None], groups[:1], TIE, denominator=1))
    assert objective.reliability["hostile"].probability < 0.1
    assert found == pytest.approx(davidson(0.5, 1), rel=1e-3)  # mean weight 1 over all four words


def test_reliability_is_told_where_all_labelers_count_equally_too() -> None:
    groups = hostile_groups()
    objective = Objective(ObjectiveConfig(), groups)
    found = float(objective.loss(SCORES[:2, None], groups[:1], TIE, denominator=1))
    assert objective.reliability["hostile"].is_doubtful
    assert not objective.reliability["ann"].is_doubtful
    assert found == pytest.approx((3 * davidson(0.5, 1) + davidson(-0.5, 1)) / 4, rel=1e-6)


def test_heads_see_their_own_resample_of_the_prompts() -> None:
    """Each head's gradient is a whole number of times that of the plain loss; on average once."""
    groups = [group(str(number), 2, pair(0, 1, 1)) for number in range(200)]
    objective = Objective(ObjectiveConfig(), groups, heads=3, seed=5)
    members = torch.zeros(400, 3, requires_grad=True)
    learned = Learned(TIE.log_tie, torch.zeros(3))
    objective.loss(members, groups, learned, denominator=1).backward()  # type: ignore[no-untyped-call]
    assert members.grad is not None
    single = torch.zeros(2, 1, requires_grad=True)
    Objective(ObjectiveConfig(), groups).loss(single, groups[:1], TIE, denominator=1).backward()  # type: ignore[no-untyped-call]
    assert single.grad is not None
    times = 3 * members.grad[::2] / single.grad[0]
    torch.testing.assert_close(times, times.round(), rtol=0, atol=1e-4)
    assert times.mean(dim=0).tolist() == pytest.approx([1, 1, 1], abs=0.25)
    assert 0.2 < float((times[:, 0] == 0).float().mean()) < 0.55
    assert not torch.equal(times[:, 0], times[:, 1])
