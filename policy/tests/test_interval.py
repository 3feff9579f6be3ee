from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from policy.intervals import interval


def test_unanimous_prompts_get_wilsons_interval() -> None:
    # n = 10, all won: low = n / (n + z²) = 10 / 13.8415, high = 1 (Wilson 1927).
    low, high = interval([1.0] * 10)

    assert low == pytest.approx(10 / (10 + 1.959963984540054**2))
    assert high == pytest.approx(1.0)


def test_unanimous_ties_are_centred_on_one_half() -> None:
    low, high = interval([0.5] * 8)

    assert low == pytest.approx(1 - high)
    assert low < 0.5 < high


def test_bootstrap_of_a_coin_matches_its_normal_interval() -> None:
    # 200 prompts, half won: standard error sqrt(.25 / 200) = .0354, so about .5 ± .0693.
    low, high = interval([0.0, 1.0] * 100)

    assert low == pytest.approx(0.5 - 0.0693, abs=0.006)
    assert high == pytest.approx(0.5 + 0.0693, abs=0.006)


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=1, max_size=20))
@example(means=[0.0, 0.0, 0.0])
def test_interval_holds_the_mean_and_mirrors(means: list[float]) -> None:
    low, high = interval(means)
    mirrored_low, mirrored_high = interval([1 - value for value in means])

    assert 0 <= low <= sum(means) / len(means) <= high <= 1
    assert (1 - mirrored_high, 1 - mirrored_low) == pytest.approx((low, high), abs=1e-9)


def test_interval_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one prompt"):
        interval([])
