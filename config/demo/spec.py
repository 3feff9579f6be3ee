"""What one turn consists of: the demo is one instance, the test on a tiny model another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from annotation.personas import SimulatedLabeler

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnSpec:
    """Everything that a turn is run with; one instance is the demo, another the test on a tiny model."""

    model_uri: str
    """Model URI of the base."""
    lineage: str
    """Name of the base's lineage; an existing one is used again."""
    campaign: str
    """Name of the campaign that the turn opens."""
    prompts: Sequence[Mapping[str, Any]]
    """Lines of the prompts file: messages and category."""
    guidelines: str
    """Markdown."""
    split: tuple[int, int, int]
    """Train, validation and test prompts, by content hash."""
    crew: Sequence[SimulatedLabeler]
    """Simulated labelers, of the collection and of the win rate."""
    overlap: int = 3
    """Rankings per task."""
    completions_per_task: int = 4
    """Answers per task."""
    answers_per_prompt: int = 4
    """Answers per prompt in the collection, cut into tasks."""
    answers_per_test_prompt: int = 2
    """Answers of each side per test prompt in the win rate."""
    follow_prompts: int = 8
    """Train prompts whose new answers stand in the queue after the turn."""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """Fields of SampleConfig."""
    reward: Mapping[str, Any] = field(default_factory=dict)
    """Fields of RewardConfig."""
    ppo: Mapping[str, Any] = field(default_factory=dict)
    """Fields of PPOConfig."""
    seed: int = 1
    """Seed of every run and of the simulated labelers."""
