"""Bytes by part: what a batch is padded to, and which moment needs most."""

from __future__ import annotations

import itertools
from statistics import mean

import pytest

from reward.training import footprint
from reward.training.footprint import Part


def test_a_batch_is_padded_to_the_mean_of_its_greatest() -> None:
    lengths = [3, 9, 4, 4]

    expected = mean(max(batch) for batch in itertools.product(lengths, repeat=3))

    assert footprint.greatest_of(lengths, 3) == pytest.approx(expected)
    assert footprint.greatest_of(lengths, 1) == mean(lengths)


def test_the_peak_is_the_moment_that_needs_most_without_empty_parts() -> None:
    held = [Part("model", 100, is_certain=True), Part("average", 0)]
    learn, evaluate = [Part("gradients", 60, is_certain=True)], [Part("chosen", 70), Part("cache", 20)]

    parts = footprint.peak(held, [learn, evaluate])

    assert parts == [held[0], *evaluate]
    assert (footprint.total(parts), footprint.certain(parts)) == (190, 100)
