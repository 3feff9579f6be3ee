"""Settings: defaults that hold, refusals that name the numbers, no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from policy.training.config import CreditConfig, KeepConfig, KLConfig, PPOConfig, UpdateConfig
from policy.training.sample_config import ImportConfig, SampleConfig
from reward.training.configuration import fields_help, from_dict, to_dict


@pytest.mark.parametrize("cls", [CreditConfig, ImportConfig, KLConfig, PPOConfig, SampleConfig, UpdateConfig])
def test_every_setting_has_a_help_text_and_no_config_has_over_20(cls: type) -> None:
    helps = fields_help(cls)

    assert all(field.help for field in helps)
    assert len(helps) <= 20


def test_nested_settings_come_back_from_json() -> None:
    config = PPOConfig(steps=3, kl=KLConfig(controller="adaptive"), update=UpdateConfig(adam_betas=(0.8, 0.9)))

    assert from_dict(PPOConfig, to_dict(config)) == config
    with pytest.raises(ValueError, match="KLConfig has no setting beta"):
        from_dict(PPOConfig, {"kl": {"beta": 0.1}})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PPOConfig(answers_per_step=6, answers_per_prompt=4), r"answers_per_step \(6\).*prompt \(4\)"),
        (lambda: PPOConfig(answers_per_step=2, update=UpdateConfig(mini_batches=3)), r"mini_batches \(3\).*\(2\)"),
        (lambda: PPOConfig(temperature=0.0), r"temperature \(0.0\) must be above 0"),
        (lambda: KeepConfig(samples=17), r"samples \(17\) must be from 0 to 16"),
        (lambda: SampleConfig(top_p=0.0), r"top_p \(0.0\)"),
        (lambda: UpdateConfig(dual_clip=1.1), r"dual_clip \(1.1\) must be above 1 \+ clip_high \(1.2\)"),
        (lambda: ImportConfig(uri="http://x"), "must start with hf:, file: or pypi:"),
    ],
)  # fmt: skip
def test_settings_that_cannot_hold_are_refused_with_their_numbers(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_settings_load_without_torch() -> None:
    code = "import sys, policy.training.config; sys.exit(int('torch' in sys.modules))"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
