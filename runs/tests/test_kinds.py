"""What the registry of kinds tells pages."""

from __future__ import annotations

from runs.kinds import kind_title
from runs.tests import kinds as _registered  # noqa: F401


def test_a_kind_is_called_by_its_title_and_one_that_is_gone_by_its_name() -> None:
    assert kind_title("test.count") == "Counting"
    assert kind_title("policy.ppo") == "PPO"
    assert kind_title("old.kind") == "old.kind"
