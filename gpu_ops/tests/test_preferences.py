from __future__ import annotations

import itertools
import math
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gpu_ops import grouped_preference_loss, plackett_luce_loss
from gpu_ops.preferences import Ties

SCORES = st.lists(st.floats(-20, 20), min_size=2, max_size=6)
OUTCOME = st.sampled_from([1, 0, -1])
TIES = st.sampled_from(get_args(Ties))
TIE = torch.tensor(0.3, dtype=torch.float64)


def ints(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.int64)


def one_pair(difference: float, outcome: int, **options: Any) -> float:
    scores = torch.tensor([difference, 0.0], dtype=torch.float64)
    return grouped_preference_loss(scores, ints(0), ints(1), ints(outcome), ints(0), **options).item()


def all_pairs(scores: list[float], outcomes: list[int], **options: Any) -> Tensor:
    """One group: every pair of the scores, with outcomes in turn."""
    pairs = list(itertools.combinations(range(len(scores)), 2))
    first, second = ints(*(a for a, _ in pairs)), ints(*(b for _, b in pairs))
    outcome = ints(*(outcomes[i % len(outcomes)] for i in range(len(pairs))))
    table = torch.tensor(scores, dtype=torch.float64)
    return grouped_preference_loss(table, first, second, outcome, torch.zeros_like(first), **options)


def test_bradley_terry_by_hand() -> None:
    """A difference of ln 3 makes the first win three times of four; a tie is half of each."""
    assert one_pair(math.log(3), 1) == pytest.approx(math.log(4 / 3))
    assert one_pair(math.log(3), -1) == pytest.approx(math.log(4))
    assert one_pair(math.log(3), 0) == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)


def test_davidson_by_hand() -> None:
    """nu = 1 and a difference of 2 ln 2: 2, 1 and 1/2 out of 3.5. nu = 2 at equality: a tie every other time."""
    options = {"log_tie": torch.tensor(0.0)}
    assert one_pair(2 * math.log(2), 1, **options) == pytest.approx(math.log(3.5 / 2))
    assert one_pair(2 * math.log(2), 0, **options) == pytest.approx(math.log(3.5))
    assert one_pair(2 * math.log(2), -1, **options) == pytest.approx(math.log(7))
    assert one_pair(0.0, 0, log_tie=torch.tensor(math.log(2))) == pytest.approx(math.log(2))


def test_rao_kupper_by_hand() -> None:
    """theta = 2 and a difference of ln 4: 4 / (4 + 2), 1 / (1 + 2 · 4) and the rest, 2/9."""
    options: dict[str, Any] = {"log_tie": torch.tensor(math.log(math.log(2))), "ties": "rao-kupper"}
    assert one_pair(math.log(4), 1, **options) == pytest.approx(math.log(3 / 2))
    assert one_pair(math.log(4), -1, **options) == pytest.approx(math.log(9))
    assert one_pair(math.log(4), 0, **options) == pytest.approx(math.log(9 / 2))


def test_a_soft_label_counts_the_opposite_outcome_too() -> None:
    certainty = torch.tensor([0.8])
    expected = 0.8 * math.log(4 / 3) + 0.2 * math.log(4)
    assert one_pair(math.log(3), 1, certainty=certainty) == pytest.approx(expected)
    assert one_pair(-math.log(3), -1, certainty=certainty) == pytest.approx(expected)
    assert one_pair(1.0, 0, certainty=certainty) == pytest.approx(one_pair(1.0, 0))


def test_a_groups_weight_says_how_often_it_counts() -> None:
    """Two pairs of one group, one of the other: 3 times the mean of the first and half of the second, over 2 groups."""
    scores = torch.tensor([math.log(3), 0.0, 0.0], dtype=torch.float64)
    pairs = ints(0, 1, 1), ints(1, 0, 2), ints(1, 1, 1), ints(0, 0, 1)
    loss = grouped_preference_loss(scores, *pairs, group_weight=torch.tensor([3.0, 0.5]), num_groups=2)
    assert loss.item() == pytest.approx((3 * (math.log(4 / 3) + math.log(4)) / 2 + 0.5 * math.log(2)) / 2)


@pytest.mark.parametrize("outcome", [1, -1])
def test_margin_is_taken_from_the_winner(outcome: int) -> None:
    margin = torch.tensor([math.log(3)])
    assert one_pair(outcome * math.log(9), outcome, margin=margin) == pytest.approx(math.log(4 / 3))
    assert one_pair(outcome * math.log(9), 0, margin=margin) == pytest.approx(one_pair(math.log(9), 0))


def test_gradient_by_hand() -> None:
    """d/ds of -log sigmoid(s1 - s2) is -P(second), times the upstream gradient."""
    scores = torch.tensor([math.log(3), 0.0], requires_grad=True)
    (3 * grouped_preference_loss(scores, ints(0), ints(1), ints(1), ints(0))).backward()
    assert scores.grad is not None
    assert scores.grad.tolist() == pytest.approx([-0.75, 0.75])


def test_gradients_agree_with_finite_differences() -> None:
    scores = torch.randn(5, dtype=torch.float64, requires_grad=True)
    tie = torch.tensor(-0.4, dtype=torch.float64, requires_grad=True)
    first, second, group = ints(0, 1, 2, 4), ints(1, 2, 3, 0), ints(0, 0, 1, 1)
    outcome, weight = ints(1, 0, -1, 0), torch.tensor([1.0, 0.5, 2.0, 0.0])
    options: dict[str, Any] = {
        "weight": weight, "margin": weight / 3, "certainty": 1 - weight / 8, "group_weight": ints(2, 1), "num_groups": 2
    }  # fmt: skip

    def loss(scores: Tensor, tie: Tensor, ties: Ties) -> Tensor:
        return grouped_preference_loss(scores, first, second, outcome, group, log_tie=tie, ties=ties, **options)

    for ties in get_args(Ties):
        assert torch.autograd.gradcheck(loss, (scores, tie, ties))
    assert torch.autograd.gradcheck(
        lambda s: plackett_luce_loss(s, ints(2, 0, 1, 4, 3), ints(0, 0, 0, 1, 1), tied=ints(0, 0, 1, 0, 0)), (scores,)
    )


def test_weights_average_inside_a_group_and_groups_weigh_the_same() -> None:
    """Group 7: 3/4 of one loss and 1/4 of the other. Group 2: one pair. Then the mean of the two."""
    scores = torch.tensor([math.log(3), 0.0, 0.0], dtype=torch.float64)
    loss = grouped_preference_loss(
        scores, ints(0, 1, 1), ints(1, 0, 2), ints(1, 1, 1), ints(7, 7, 2), weight=torch.tensor([3.0, 1.0, 0.2])
    )
    assert loss.item() == pytest.approx((0.75 * math.log(4 / 3) + 0.25 * math.log(4) + math.log(2)) / 2)


@settings(deadline=None, max_examples=50)
@given(SCORES, st.lists(OUTCOME, min_size=1, max_size=5), st.floats(-50, 50), st.sampled_from([None, TIE]))
def test_only_differences_of_scores_matter(
    scores: list[float], outcomes: list[int], shift: float, tie: Tensor | None
) -> None:
    moved = all_pairs([s + shift for s in scores], outcomes, log_tie=tie)
    torch.testing.assert_close(moved, all_pairs(scores, outcomes, log_tie=tie), rtol=0, atol=1e-9)


@settings(deadline=None, max_examples=50)
@given(st.floats(-30, 30), OUTCOME, st.floats(0, 3), st.sampled_from([None, TIE]))
def test_naming_the_pair_the_other_way_round_changes_nothing(
    difference: float, outcome: int, margin: float, tie: Tensor | None
) -> None:
    options = {"margin": torch.tensor([margin], dtype=torch.float64), "log_tie": tie}
    assert one_pair(difference, outcome, **options) == pytest.approx(one_pair(-difference, -outcome, **options))


@settings(deadline=None, max_examples=50)
@given(st.floats(-30, 30), st.sampled_from([None, TIE]), TIES)
def test_a_tie_pulls_scores_together(difference: float, tie: Tensor | None, ties: Ties) -> None:
    options: dict[str, Any] = {"log_tie": tie, "ties": ties}
    assert one_pair(difference, 0, **options) == pytest.approx(one_pair(-difference, 0, **options))
    assert one_pair(difference, 0, **options) >= one_pair(0.0, 0, **options) - 1e-12


@settings(deadline=None, max_examples=50)
@given(st.floats(-30, 30), st.floats(-5, 3), TIES)
def test_probabilities_of_win_tie_and_loss_sum_to_one(difference: float, log_tie: float, ties: Ties) -> None:
    tie = torch.tensor(log_tie, dtype=torch.float64)
    total = sum(math.exp(-one_pair(difference, outcome, log_tie=tie, ties=ties)) for outcome in (1, 0, -1))
    assert total == pytest.approx(1)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(2, 6), min_size=1, max_size=4))
def test_a_group_weighs_the_same_whatever_its_size(sizes: list[int]) -> None:
    """Equal scores: every pair costs ln 2, so the mean over groups, and each group's share, is known."""
    loss = {k: all_pairs([1.0] * k, [1]).item() for k in sizes}
    assert list(loss.values()) == pytest.approx([math.log(2)] * len(loss))
    pairs = [(g, a, b) for g, k in enumerate(sizes) for a, b in itertools.combinations(range(k), 2)]
    start = list(itertools.accumulate(sizes, initial=0))
    scores = torch.zeros(sum(sizes), dtype=torch.float64, requires_grad=True)
    first, second = ints(*(start[g] + a for g, a, _ in pairs)), ints(*(start[g] + b for g, _, b in pairs))
    group = ints(*(g for g, _, _ in pairs))
    outcome = torch.ones_like(first)
    grouped_preference_loss(scores, first, second, outcome, group, num_groups=len(sizes)).backward()
    assert scores.grad is not None
    for g, k in enumerate(sizes):
        best = scores.grad[start[g]].item()  # the first answer wins its k - 1 pairs of k (k - 1) / 2
        assert best == pytest.approx(-0.5 * (k - 1) / (k * (k - 1) / 2) / len(sizes))


def test_eight_groups_at_once_equal_eight_of_one() -> None:
    scores = torch.randn(24, dtype=torch.float64)
    first, second = torch.arange(0, 24, 3), torch.arange(1, 24, 3)
    outcome, group = ints(1, 0, -1, 1, 1, 0, -1, -1), torch.arange(8)
    whole = grouped_preference_loss(scores, first, second, outcome, group)
    parts = [
        grouped_preference_loss(scores, *(x[i : i + 1] for x in (first, second, outcome, group)), denominator=8)
        for i in range(8)
    ]
    assert sum(p.item() for p in parts) == pytest.approx(whole.item())


def test_extreme_differences_stay_finite() -> None:
    for tie, ties in itertools.product((None, -60.0, 0.3, 4.0), get_args(Ties)):
        scores = torch.tensor([3e4, -3e4], requires_grad=True)
        log_tie = None if tie is None else torch.tensor(tie, requires_grad=True)
        pairs = ints(0, 0), ints(1, 1), ints(-1, 0), ints(0, 1)
        loss = grouped_preference_loss(scores, *pairs, log_tie=log_tie, ties=ties)
        gradients = torch.autograd.grad(loss, [scores] if log_tie is None else [scores, log_tie])
        assert loss.isfinite()
        assert all(gradient.isfinite().all() for gradient in gradients)


def test_plackett_luce_by_hand() -> None:
    """Worths 3, 2, 1 in that order: 3/6 · 2/3 = 1/3, two choices. The second ranking is a coin."""
    scores = torch.tensor([1.0, 2.0, 3.0, 0.0], dtype=torch.float64)
    scores[:3] = scores[:3].log()
    assert plackett_luce_loss(scores, ints(2, 1, 0), ints(0, 0, 0)).item() == pytest.approx(math.log(3) / 2)
    both = plackett_luce_loss(scores, ints(2, 1, 0, 3, 0), ints(5, 5, 5, 1, 1), num_groups=None)
    assert both.item() == pytest.approx((math.log(3) / 2 + math.log(2)) / 2)
    assert plackett_luce_loss(scores, ints(2, 1, 0), ints(0, 0, 0), denominator=4).item() == pytest.approx(
        math.log(3) / 8
    )


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-20, 20), min_size=2, max_size=4))
def test_plackett_luce_probabilities_of_all_orders_sum_to_one(scores: list[float]) -> None:
    table, k = torch.tensor(scores, dtype=torch.float64), len(scores)
    group = torch.zeros(k, dtype=torch.int64)
    losses = [plackett_luce_loss(table, ints(*order), group).item() for order in itertools.permutations(range(k))]
    assert sum(math.exp(-loss * (k - 1)) for loss in losses) == pytest.approx(1)


def test_plackett_luce_of_two_is_bradley_terry() -> None:
    assert plackett_luce_loss(torch.tensor([math.log(3), 0.0]), ints(0, 1), ints(0, 0)).item() == pytest.approx(
        one_pair(math.log(3), 1), rel=1e-6
    )


def test_plackett_luce_with_ties_by_hand() -> None:
    """Worths 3 = 2 > 1: both of the first choose from all, 3/6 and 2/6. At the bottom: 3/6, then 2/3 and 1/3."""
    scores = torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64).log()
    group = ints(0, 0, 0)
    top = plackett_luce_loss(scores, ints(0, 1, 2), group, tied=torch.tensor([False, True, False]))
    bottom = plackett_luce_loss(scores, ints(0, 1, 2), group, tied=torch.tensor([False, False, True]))
    assert top.item() == pytest.approx((math.log(2) + math.log(3)) / 2)
    assert bottom.item() == pytest.approx((math.log(2) + math.log(3 / 2) + math.log(3)) / 3)


@settings(deadline=None, max_examples=30)
@given(st.floats(-20, 20))
def test_a_tie_of_two_is_bradley_terrys(difference: float) -> None:
    scores = torch.tensor([difference, 0.0], dtype=torch.float64)
    loss = plackett_luce_loss(scores, ints(0, 1), ints(0, 0), tied=torch.tensor([False, True]))
    assert loss.item() == pytest.approx(one_pair(difference, 0))


def test_a_rankings_weight_says_how_often_it_counts() -> None:
    scores = torch.tensor([math.log(3), 0.0])
    weight = torch.tensor([2.0, 0.5])
    loss = plackett_luce_loss(scores, ints(0, 1, 1, 0), ints(4, 4, 1, 1), weight=weight)
    assert loss.item() == pytest.approx((2 * math.log(4 / 3) + 0.5 * math.log(4)) / 2)


PAIRS: dict[str, Any] = {
    "scores": torch.zeros(3),
    "first": ints(0, 1),
    "second": ints(1, 2),
    "outcome": ints(1, 0),
    "group": ints(0, 0),
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict.fromkeys(("first", "second", "outcome", "group"), ints()), "0 pairs for 3 scores"),
        ({"num_groups": 2}, "1 of 2 groups are empty"),
        ({"group": ints(0, 2), "num_groups": 2}, r"group spans 0\.\.2 but must lie in 0\.\.1"),
        ({"second": ints(1, 3)}, r"second spans 1\.\.3 but must lie in 0\.\.2"),
        ({"second": ints(1, 1)}, "pair 1 of 2 compares an answer with itself"),
        ({"outcome": ints(1, 2)}, r"outcome spans 1\.0\.\.2\.0"),
        ({"weight": torch.zeros(2)}, "group 0 of 1 has a total weight of 0.0"),
        ({"weight": torch.tensor([1.0, -1.0])}, "weight has a least value of -1.0"),
        ({"weight": torch.ones(3)}, r"weight has shape \(3,\) but first has shape \(2,\)"),
        ({"margin": torch.tensor([0.0, math.inf])}, "margin is not finite at 1 of 2"),
        ({"scores": torch.tensor([0.0, math.nan, 0.0])}, "scores is not finite at 1 of 3"),
        ({"denominator": 0}, r"denominator \(0.0\)"),
        ({"certainty": torch.tensor([0.5, 1.5])}, "certainty has a greatest value of 1.5"),
        ({"group_weight": torch.ones(1)}, r"group_weight \(1,\) must be \[num_groups\], and num_groups is None"),
        ({"group_weight": torch.tensor([-1.0]), "num_groups": 1}, "group_weight has a least value of -1.0"),
        ({"log_tie": TIE, "ties": "never"}, "ties must be one of davidson, rao-kupper, not 'never'"),
    ],
)
def test_bad_pairs_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        grouped_preference_loss(**(PAIRS | changes))


@pytest.mark.parametrize(
    ("order", "group", "message"),
    [
        (ints(), ints(), "0 entries for 3 scores"),
        (ints(0, 1, 2), ints(0, 0, 1), "group 1 ranks 1 answer"),
        (ints(0, 1, 2, 0), ints(0, 1, 0, 1), "2 groups come in 4 pieces"),
        (ints(0, 1, 0), ints(0, 0, 0), "3 entries but 2 distinct"),
        (ints(0, 3), ints(0, 0), r"order spans 0\.\.3 but must lie in 0\.\.2"),
    ],
)
def test_bad_orders_are_refused(order: Tensor, group: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plackett_luce_loss(torch.zeros(3), order, group)


def test_bad_ties_and_weights_are_refused() -> None:
    ranking = torch.zeros(3), ints(0, 1, 2), ints(5, 5, 5)
    with pytest.raises(ValueError, match="group 5 begins with a tie"):
        plackett_luce_loss(*ranking, tied=torch.tensor([True, False, False]))
    with pytest.raises(ValueError, match=r"weight \(3,\) must be \[num_groups\], and num_groups is 1"):
        plackett_luce_loss(*ranking, weight=torch.ones(3))
    with pytest.raises(ValueError, match=r"weight has a least value of -1\.0"):
        plackett_luce_loss(*ranking, weight=torch.tensor([-1.0]))


PAIR = st.tuples(
    st.integers(0, 5),  # first
    st.integers(1, 5),  # second - first, modulo 6
    OUTCOME,
    st.integers(0, 3),  # group
    st.floats(0.1, 3),
    st.floats(0, 2),
    st.floats(0, 1),
)


def plain_pair_loss(d: float, outcome: int, log_tie: float | None, ties: Ties) -> float:
    """-log P(outcome) as a Python float, from the definitions."""
    if log_tie is None:
        won, lost = (math.log1p(math.exp(sign * d)) for sign in (-1, 1))
        return {1: won, -1: lost, 0: (won + lost) / 2}[outcome]
    if ties == "davidson":
        parts = {1: math.exp(d / 2), -1: math.exp(-d / 2), 0: math.exp(log_tie)}
        return math.log(sum(parts.values()) / parts[outcome])
    theta = math.exp(math.exp(log_tie))
    p = {1: 1 / (1 + theta * math.exp(-d)), -1: 1 / (1 + theta * math.exp(d))}
    p[0] = 1 - p[1] - p[-1]
    return -math.log(p[outcome])


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.floats(-8, 8), min_size=6, max_size=6),
    st.lists(PAIR, min_size=1, max_size=12),
    st.sampled_from([None, TIE]),
    TIES,
)
def test_any_groups_ties_margins_labels_and_weights_equal_a_plain_loop(
    scores: list[float], pairs: list[tuple[int, int, int, int, float, float, float]], tie: Tensor | None, ties: Ties
) -> None:
    groups: dict[int, list[tuple[float, float]]] = {}
    log_tie = None if tie is None else tie.item()
    for left, step, outcome, group, weight, margin, sure in pairs:
        d = scores[left] - scores[(left + step) % 6] - outcome * margin
        right, wrong = (plain_pair_loss(d, side * outcome, log_tie, ties) for side in (1, -1))
        groups.setdefault(group, []).append((weight, sure * right + (1 - sure) * wrong))
    means = [sum(w * x for w, x in group) / sum(w for w, _ in group) for group in groups.values()]
    columns = torch.tensor(pairs, dtype=torch.float64).T
    first, steps, outcomes, index = columns[:4].long()
    weights, margins, certainty = columns[4:]
    actual = grouped_preference_loss(
        torch.tensor(scores, dtype=torch.float64),
        first,
        (first + steps) % 6,
        outcomes,
        index,
        weight=weights,
        margin=margins,
        certainty=certainty,
        log_tie=tie,
        ties=ties,
    )
    assert actual.item() == pytest.approx(sum(means) / len(means), rel=1e-9)
