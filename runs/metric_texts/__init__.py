"""What each metric of a run is called on its page, its unit, what it means and what is healthy: the short form of
`docs/metrics.md`, which a test holds it to."""

from __future__ import annotations

from runs.metric_texts.ppo import PPO
from runs.metric_texts.reward import REWARD_MODEL
from runs.metric_texts.tuning import TUNING
from runs.metric_texts.words import MetricHelp

__all__ = ["HELP", "MetricHelp"]

HELP: dict[str, MetricHelp] = {**PPO, **TUNING, **REWARD_MODEL}
