"""What a completion's page and the API show: scores by version, the heat map, and what people said in counts."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import NamedTuple

from django.db.models import Count, OuterRef, Subquery

from annotation.models import Completion, LabelerKind, Ranking, RankingItem
from reward.models import Explanation, RewardModel, Score

LEVELS = 6
LARGE_GAP = 0.1
"""Share of the difference from which on attributions should not be read as the whole reason."""


class Piece(NamedTuple):
    """A stretch of the answer and what it adds to the score, in reward units."""

    text: str
    value: float
    level: int
    """Strength of its colour, 0 to 6; 6 is the strongest piece of the answer, whichever its sign."""

    @property
    def is_up(self) -> bool:
        return self.value > 0


class HeatMap(NamedTuple):
    explanation: Explanation
    pieces: list[Piece]
    score: float
    baseline_score: float
    gap: float
    relative_gap: float | None
    num_steps: int

    @property
    def difference(self) -> float:
        return self.score - self.baseline_score

    @property
    def explained_share(self) -> float | None:
        """Above 1 where the attributions add up to more than the difference; None where there is none."""
        return None if self.relative_gap is None else 1 - self.gap / self.difference

    @property
    def has_large_gap(self) -> bool:
        return self.relative_gap is not None and self.relative_gap > LARGE_GAP

    @property
    def strongest(self) -> float:
        return max((abs(piece.value) for piece in self.pieces), default=0.0)

    @property
    def by_strength(self) -> list[Piece]:
        return sorted(self.pieces, key=lambda piece: -abs(piece.value))


class VersionRow(NamedTuple):
    version: RewardModel
    explanation: Explanation | None
    scored: Score | None
    """What a run over its campaign's answers wrote down."""

    @property
    def score(self) -> float | None:
        """The explained one, where there is one: its pieces add up to it. Both say the same up to rounding."""
        if self.explanation is not None and self.explanation.payload is not None:
            return float(self.explanation.payload["score"])
        return None if self.scored is None else self.scored.score

    @property
    def spread(self) -> float | None:
        """How far the version's heads lie apart on the answer; None for one head, or where it was not scored."""
        return None if self.scored is None else self.scored.spread

    @property
    def is_askable(self) -> bool:
        return self.explanation is None or (self.explanation.payload is None and not self.explanation.is_live)


class Place(NamedTuple):
    """How many rankings gave the answer this place; rank None: it could not be ranked."""

    rank: int | None
    num_answers: int
    by_kind: dict[str, int]

    @property
    def num_people(self) -> int:
        return self.by_kind.get(LabelerKind.HUMAN, 0)

    @property
    def num_simulated(self) -> int:
        return self.by_kind.get(LabelerKind.SIMULATED, 0)

    @property
    def num_imported(self) -> int:
        return self.by_kind.get(LabelerKind.IMPORTED, 0)


def heat_map(explanation: Explanation, completion: Completion) -> HeatMap | None:
    """The pieces of the answer's text with their colours; None until the explanation's run has succeeded."""
    payload = explanation.payload
    if payload is None:
        return None
    strongest = max(map(abs, payload["values"]), default=0.0)
    starts = [0, *payload["ends"]]
    pieces = [
        Piece(completion.text[start:end], value, round(LEVELS * abs(value) / strongest) if strongest else 0)
        for (start, end), value in zip(itertools.pairwise(starts), payload["values"], strict=True)
    ]
    figures = {name: payload[name] for name in ("score", "baseline_score", "gap", "relative_gap", "num_steps")}
    return HeatMap(explanation, pieces, **figures)


def version_rows(completion: Completion) -> list[VersionRow]:
    """Every reward model of the workspace, the newest first, with what it says of the answer; in three queries."""
    known = {e.version_id: e for e in completion.explanations.select_related("run")}
    scored = {score.version_id: score for score in completion.scores.all()}
    versions = RewardModel.objects.filter(workspace=completion.prompt.campaign.workspace_id).order_by("-number")
    return [VersionRow(version, known.get(version.pk), scored.get(version.pk)) for version in versions]


def places(completion: Completion) -> list[Place]:
    """Where the answer was ranked by those who count, the best first; in one query, and without names."""
    shown = RankingItem.objects.filter(ranking=OuterRef("ranking")).order_by().values("ranking")
    counted = (
        RankingItem.objects.filter(completion=completion, ranking__in=Ranking.objects.counted())
        .annotate(num_answers=Subquery(shown.annotate(n=Count("pk")).values("n")))
        .order_by()
        .values_list("rank", "num_answers", "ranking__labeler__kind")
        .annotate(Count("pk"))
    )
    found: dict[tuple[int | None, int], Counter[str]] = {}
    for rank, num_answers, kind, count in counted:
        found.setdefault((rank, num_answers), Counter())[kind] += count
    ordered = sorted(found.items(), key=lambda item: (item[0][0] is None, item[0][0] or 0, item[0][1]))
    return [Place(rank, num_answers, dict(kinds)) for (rank, num_answers), kinds in ordered]
