"""The form of a run is the run's settings."""

from __future__ import annotations

from annotation.models import Campaign
from policy.forms import PPOForm
from reward.models import RewardModel


def test_groups_of_settings_are_titled_as_the_field_writes_them() -> None:
    form = PPOForm(reward_models=RewardModel.objects.none(), campaigns=Campaign.objects.none())

    assert [group.title for group in form.groups()] == ["", "LoRA", "KL", "Credit", "Update", "Guard", "Keep"]
