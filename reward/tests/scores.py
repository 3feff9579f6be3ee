"""Short ways to the scores that tests need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from annotation.models import Campaign, Completion
from reward.models import RewardModel
from reward.scoring import start_scoring
from runs.models import Run
from tests.loop import finish, stored_lines


def answers_of(campaign: Campaign) -> list[Completion]:
    return list(Completion.objects.filter(prompt__campaign=campaign).order_by("pk"))


def row(completion: Completion, score: Any = 0.5, spread: Any = 0.25) -> dict[str, Any]:
    return {"completion": str(completion.public_id), "score": score, "spread": spread, "num_tokens": 3}


def scored(version: RewardModel, campaign: Campaign, figures: Sequence[tuple[float, float | None]]) -> Run:
    """A run over the campaign that ends with these figures of its first answers."""
    run = start_scoring(version=version, campaign=campaign, by=None).run
    rows = [row(answer, *figure) for answer, figure in zip(answers_of(campaign), figures, strict=False)]
    return finish(run, "scores", stored_lines(rows))
