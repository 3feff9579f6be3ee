"""docs/metrics.md names exactly what is logged."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from policy.training.config import PPOConfig
from policy.training.evaluate import NAMES, evaluate
from policy.training.imitation import Imitation
from policy.training.ppo import PPOState, train
from policy.training.tests.conftest import EOS, build_llama, even_share
from policy.training.trunk import Policy
from reward.training.trainer import StepMetrics as RewardStep

DOCUMENT = Path(__file__).parents[3] / "docs" / "metrics.md"


def documented(heading: str) -> set[str]:
    section = DOCUMENT.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def test_every_metric_of_a_ppo_step_is_explained_and_back() -> None:
    policy, config = Policy(build_llama()), PPOConfig(steps=1, answers_per_step=4, max_new_tokens=4)
    loop = train(
        policy=policy,
        score=lambda groups: even_share(groups).expand(-1, 2),  # two heads: some metrics are of them
        prompts=[[5, 6]],
        eos_id=EOS,
        config=config,
        state=PPOState.start(policy, config),
        seed=0,
        imitation=Imitation([[5, 6]], [[7, EOS]], coefficient=1.0, per_update=1, micro_batch_size=1),
    )

    assert set(next(loop).values) == documented("PPO, per step")


def test_every_number_on_a_sample_is_explained_and_back() -> None:
    config = PPOConfig(max_new_tokens=4)

    _, samples = evaluate(
        Policy(build_llama()),
        lambda groups: even_share(groups).expand(-1, 2),
        [[5, 6]],
        eos_id=EOS,
        config=config,
        seed=0,
        step=0,
    )

    assert set(samples[0].values) == documented("PPO, samples")


@pytest.mark.parametrize(
    ("heading", "logged"),
    [
        ("PPO, on the validation prompts", set(NAMES.values())),
        ("Reward model, per step", set(RewardStep._fields) - {"step"}),
    ],
)
def test_other_metrics_are_explained_and_back(heading: str, logged: set[str]) -> None:
    assert logged == documented(heading)
