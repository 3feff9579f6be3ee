"""The KL controllers, by hand."""

from __future__ import annotations

import pytest

from policy.training.config import KLConfig
from policy.training.kl import make_controller


@pytest.mark.parametrize(("kl", "factor"), [(6.0, 1.0), (6.6, 1.01), (60.0, 1.02), (0.0, 0.98), (-3.0, 0.98)])
def test_adaptive_controller_corrects_by_at_most_a_fifth_per_horizon(kl: float, factor: float) -> None:
    controller = make_controller(
        KLConfig(controller="adaptive", coefficient=0.1, target_kl_nats_per_sequence=6.0, horizon_answers=160)
    )

    controller.update(kl, 16)

    assert controller.coefficient == pytest.approx(0.1 * factor)


def test_fixed_controller_stays() -> None:
    controller = make_controller(KLConfig(coefficient=0.1))

    controller.update(60.0, 16)

    assert controller.coefficient == 0.1
