"""Win rate: test prompts, judged blind through the queue, both orders, a tie counts one half."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from django.db import transaction
from django.utils.translation import gettext as _

from accounts.errors import Refused
from accounts.models import AuditEvent, User
from annotation.models import Campaign, Ranking, RankingItem, Split
from policy.intervals import interval
from policy.models import Checkpoint, WinRateStudy
from policy.services.sampling import queue_study_sampling


class WinRate(NamedTuple):
    """Of the candidate against the baseline; `mean` and its 95 % interval are None until something was judged."""

    mean: float | None
    low: float | None
    high: float | None
    num_prompts: int
    num_comparisons: int
    num_open: int


@transaction.atomic
def start_win_rate(
    *,
    campaign: Campaign,
    candidate: Checkpoint,
    baseline: Checkpoint,
    by: User | None,
    seed: int = 0,
    per_prompt: int = 1,
    config: dict[str, Any] | None = None,
) -> WinRateStudy:
    """Draw both checkpoints' answers to the campaign's test prompts and put the comparisons in the queue.

    Raises:
        Refused: the two are the same, of another workspace, or the campaign has no test prompts.
    """
    if candidate.pk == baseline.pk:
        raise Refused(_("A checkpoint cannot be compared with itself."), code="same_checkpoint")
    if len({candidate.workspace_id, baseline.workspace_id, campaign.workspace_id}) != 1:
        raise Refused(_("Checkpoints and campaign must be of one workspace."), code="workspace_mismatch")
    if not campaign.prompts.filter(split=Split.TEST).exists():
        raise Refused(
            _("The campaign has no test prompts; a win rate is measured on prompts used for nothing else."),
            code="no_test_prompts",
            status=409,
        )
    study = WinRateStudy.objects.create(
        campaign=campaign, candidate=candidate, baseline=baseline, seed=seed, created_by=by
    )
    study.run = queue_study_sampling(study=study, by=by, per_prompt=per_prompt, config=config or {})
    study.save(update_fields=["run"])
    AuditEvent.record(workspace=campaign.workspace, actor=by, verb="win_rate.start", target=study)
    return study


def win_rate(study: WinRateStudy) -> WinRate:
    """Mean over prompts of the share won (tie = 1/2), with a percentile bootstrap over prompts."""
    scores = _scores_by_prompt(study)
    num_open = sum(task.free_slots for task in _tasks(study))
    means = [float(np.mean(values)) for values in scores.values()]
    count = sum(len(values) for values in scores.values())
    if not means:
        return WinRate(None, None, None, 0, 0, num_open)
    low, high = interval(means, seed=study.seed)
    return WinRate(float(np.mean(means)), low, high, len(means), count, num_open)


def _tasks(study: WinRateStudy) -> list[Any]:
    return [link.task for link in study.study_tasks.select_related("task")]


def _scores_by_prompt(study: WinRateStudy) -> dict[int, list[float]]:
    """prompt key -> one score per counted ranking: 1 the candidate won, 1/2 a tie, 0 it lost.

    An answer that could not be ranked loses to one that could: left out, a policy that turned to gibberish would look
    better than it is. Where neither could be ranked, nothing was said.
    """
    items = (
        RankingItem.objects.filter(ranking__in=Ranking.objects.counted().filter(task__win_rate_task__study=study))
        .values_list("ranking_id", "ranking__task__prompt_id", "completion__source", "rank")
        .order_by("ranking_id")
    )
    ranks: dict[tuple[int, int], dict[str, int | None]] = {}
    for ranking, prompt, source, rank in items:
        ranks.setdefault((prompt, ranking), {})[source] = rank
    scores: dict[int, list[float]] = {}
    for (prompt, _ranking), by_source in ranks.items():
        ours, theirs = by_source[study.candidate.uri], by_source[study.baseline.uri]
        if ours is not None or theirs is not None:
            scores.setdefault(prompt, []).append(_score(math.inf if ours is None else ours, theirs))
    return scores


def _score(ours: float, theirs: float | None) -> float:
    if theirs is None or ours < theirs:
        return 1.0
    return 0.5 if ours == theirs else 0.0
