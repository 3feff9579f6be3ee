"""Seconds of a pass from measured layers, by hand."""

from __future__ import annotations

import pytest

from reward.training.shape import Shape
from reward.training.speed import Speed

SPEED = Speed.read(
    [
        {"rows": 100, "matrices": 4000, "seconds": 40.0},
        {"rows": 1, "matrices": 1000, "seconds": 3.0},
        {"rows": 1, "matrices": 4000, "seconds": 9.0},
        {"rows": 100, "matrices": 1000, "seconds": 12.0},
    ]
)


def shape(width: int, inner: int, layers: int = 2) -> Shape:
    return Shape(vocabulary=10, width=width, layers=layers, heads=1, kv_heads=1, head_size=1, inner=inner, is_tied=True)


@pytest.mark.parametrize(
    ("tokens", "seconds"),
    [(1, 5.0), (100, 64 / 3), (10, (5 * 64 / 3) ** 0.5), (400, 4 * 64 / 3), (0.5, 5.0)],
)
def test_a_layer_lies_on_the_line_through_both_widths_and_between_measured_tokens(
    tokens: float, seconds: float
) -> None:
    # 4 * 8 + 3 * 8 * 82 = 2000 matrices: a third of the way from 1000 to 4000.
    decoder = shape(8, 82)
    assert decoder.layer_matrices == 2000

    found = SPEED.forward(decoder, sequences=tokens, length=1)

    assert found == pytest.approx(2 * seconds * (1 + 1 / 2000))


def test_larger_layers_take_longer_in_proportion_and_small_ones_never_nothing() -> None:
    large, small = shape(20, 399, layers=1), shape(1, 1, layers=1)
    assert large.layer_matrices == 24_020

    assert SPEED.forward(large, sequences=1, length=1) == pytest.approx(9 * 24_020 / 4000, rel=1e-3)
    # 7 matrices: the line meets the axis at one second.
    assert SPEED.forward(small, sequences=1, length=1) == pytest.approx((1 + 2 * 7 / 1000) * (1 + 1 / 7), rel=1e-6)


def test_attention_counts_the_tokens_that_are_attended_to() -> None:
    decoder = shape(8, 82)

    prefill = SPEED.forward(decoder, sequences=1, length=100)
    decoding = SPEED.forward(decoder, sequences=1, length=100, new=1)

    assert prefill == pytest.approx(2 * 64 / 3 * (1 + 2 * 50 / 2000))
    assert decoding == pytest.approx(2 * 5 * (1 + 2 * 99.5 / 2000))


def test_products_and_updates_go_by_the_larger_width() -> None:
    assert SPEED.product(8000, tokens=100) == pytest.approx(80)
    assert SPEED.product(8000, tokens=0) == 0
    assert SPEED.update(4000) == pytest.approx(7 * 9)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"rows": 1, "matrices": 1000, "seconds": 1.0}],
        [{"rows": 1, "matrices": 1000, "seconds": 1.0}, {"rows": 1, "matrices": 4000, "seconds": 0.0}],
    ],
    ids=["nothing", "one width", "no time"],
)
def test_measurements_that_tell_no_speed_are_refused(rows: list[dict[str, float]]) -> None:
    with pytest.raises(ValueError, match="two widths"):
        Speed.read(rows)
