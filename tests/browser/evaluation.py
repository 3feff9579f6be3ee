"""A report of a reward model for pictures: random words on the cast's answers, by a model that half knows them."""

from __future__ import annotations

from typing import Any

import numpy as np

from annotation.models import Campaign, Labeler
from reward.training.groups import Answer, Group, Pair
from reward.training.reliability import Reliability
from reward.training.report import Measured, report

ROUNDS = 12
"""Copies of the campaign's prompts, so that intervals have something to rest on."""


def evaluation_of(campaign: Campaign, labelers: list[Labeler]) -> dict[str, Any]:
    rng = np.random.default_rng(4)
    prompts = [(prompt, list(prompt.completions.order_by("pk"))) for prompt in campaign.prompts.order_by("pk")]
    groups, scores, floors = [], [], []
    for number in range(ROUNDS):
        for prompt, completions in prompts:
            worth = rng.normal(size=len(completions))
            pairs = []
            for labeler in labelers:
                for second in range(1, len(completions)):
                    lead = worth[second - 1] - worth[second] + rng.gumbel() - rng.gumbel()
                    outcome = 0 if abs(lead) < 0.2 else int(np.sign(lead))
                    strength = int(np.clip(1 + abs(lead), 1, 4))
                    pairs.append(Pair(second - 1, second, outcome, 1.0, str(labeler.public_id), strength))
            answers = [Answer([5], len(c.text), str(c.public_id)) for c in completions]
            category = ("how to", "facts", "writing")[number % 3]
            groups.append(Group(str(prompt.public_id), "validation", [1], answers, pairs, category=category))
            scores.append(0.9 * worth + 0.8 * rng.normal(size=len(worth)))
            floors.append(0.5 * worth + rng.normal(size=len(worth)))
    lengths = [np.array([float(answer.characters) for answer in group.answers]) for group in groups]
    reliability = {
        str(each.public_id): Reliability(p, 200, 150) for each, p in zip(labelers, (0.83, 0.46), strict=False)
    }
    found = Measured(
        scores=scores, spread=[], floors={"length": lengths, "bag_of_words": floors, "probe": scores},
        train_scores=rng.normal(size=400), longer_wins=True, threshold=0.0, reliability=reliability, weights={},
    )  # fmt: skip
    return report(groups, found, samples=500, seed=0)
