"""Settings of DPO and SFT: defaults that hold, refusals that name the numbers, no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from policy.training.trl_config import DPOConfig, OptimizerConfig, SFTConfig
from reward.training.configuration import fields_help, from_dict, to_dict


@pytest.mark.parametrize("cls", [DPOConfig, OptimizerConfig, SFTConfig])
def test_every_setting_has_a_help_text_and_comes_back_from_json(cls: type) -> None:
    helps = fields_help(cls)

    assert all(field.help for field in helps)
    assert len(helps) <= 20
    assert from_dict(cls, to_dict(cls())) == cls()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DPOConfig(pairs_per_step=6, micro_batch_size=4), r"pairs_per_step \(6\).*micro_batch_size \(4\)"),
        (lambda: SFTConfig(answers_per_step=3), r"answers_per_step \(3\).*micro_batch_size \(4\)"),
        (lambda: DPOConfig(beta=0.0), r"beta \(0.0\) must be above 0"),
        (lambda: SFTConfig(learning_rate=float("nan")), r"learning_rate \(nan\) must be above 0"),
        (lambda: OptimizerConfig(adam_betas=(0.9, 1.0)), r"adam_betas\[1\] \(1.0\)"),
    ],
)  # fmt: skip
def test_settings_that_cannot_hold_are_refused_with_their_numbers(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_settings_load_without_torch_or_trl() -> None:
    code = "import sys, policy.training.trl_config; sys.exit(int(bool({'torch', 'trl'} & set(sys.modules))))"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
