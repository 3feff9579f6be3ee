"""Score a campaign's answers with a version: what it makes of each, and how far its heads lie apart on it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts.errors import Refused
from accounts.models import AuditEvent, User
from annotation.models import Campaign, Completion
from reward.groups import build_unjudged
from reward.models import RewardModel, Score
from runs.artifacts import store
from runs.models import Run
from runs.services import InputRef, create_run
from runs.states import FINISHED

SCORE_KIND = "reward.score"
ROWS_PER_STATEMENT = 2000
NUM_SHOWN = 5


class Started(NamedTuple):
    run: Run
    is_new: bool
    """False: it was on its way already."""


@transaction.atomic
def start_scoring(
    *, version: RewardModel, campaign: Campaign, by: User | None, config: Mapping[str, Any] | None = None
) -> Started:
    """Queue a run that scores all answers the campaign has now, those to test prompts too: nothing learns from it.

    Also: a run that is waiting or at work is returned, not joined by a second one; records `reward.score`.

    Raises:
        Refused: version and campaign are of two workspaces (`workspace_mismatch`), the campaign has no answers
            (`no_answers`), or the config is invalid.
    """
    if version.workspace_id != campaign.workspace_id:
        raise Refused(_("Reward model and campaign must be of one workspace."), code="workspace_mismatch")
    # Two who ask at once must not start two runs.
    RewardModel.objects.select_for_update(no_key=True).get(pk=version.pk)
    known = scoring_runs(version).filter(context__campaign=str(campaign.public_id)).exclude(state__in=FINISHED).first()
    if known is not None:
        return Started(known, is_new=False)
    run = _queue(version, campaign, by, config or {})
    AuditEvent.record(workspace=version.workspace, actor=by, verb="reward.score", target=run)
    return Started(run, is_new=True)


def scoring_runs(version: RewardModel) -> QuerySet[Run]:
    """Runs in which the version scores answers, the newest first."""
    runs = Run.objects.filter(workspace=version.workspace_id, kind=SCORE_KIND, context__version=str(version.public_id))
    return runs.order_by("-pk")


def scores_of(version: RewardModel, *, campaign: Campaign | None, has_spread: bool) -> QuerySet[Score]:
    """What the version makes of a campaign's answers, or of all; with their answers and prompts.

    Raises:
        Refused: `has_spread` of a version with one head (`no_spread`).
    """
    scores = version.scores.select_related("completion__prompt")
    if campaign is not None:
        scores = scores.filter(completion__prompt__campaign=campaign)
    if not has_spread:
        return scores
    if version.num_heads == 1:
        message = _("%(version)s has one head, so there is no spread to order by; order by score.")
        raise Refused(message % {"version": version}, code="no_spread")
    return scores.filter(spread__isnull=False)


def scoring_part(version: RewardModel) -> dict[str, Any]:
    """What the version's page needs to offer it: campaigns, the version's own first, and the newest runs."""
    own = version.snapshot.campaign_id
    campaigns = Campaign.objects.not_archived().filter(workspace=version.workspace_id).order_by("name", "pk")
    return {
        "campaigns": sorted(campaigns, key=lambda campaign: campaign.pk != own),
        "scorings": scoring_runs(version)[:NUM_SHOWN],
    }


def _queue(version: RewardModel, campaign: Campaign, by: User | None, config: Mapping[str, Any]) -> Run:
    groups = build_unjudged(campaign)
    if not groups.lines:
        message = _("The campaign has no answers to score; sample or import some first.")
        raise Refused(message, code="no_answers", status=409)
    return create_run(
        workspace=version.workspace,
        by=by,
        kind=SCORE_KIND,
        title=_("%(version)s scores the answers of %(campaign)s") % {"version": version, "campaign": campaign},
        config=config,
        inputs={
            "reward": InputRef(sha256=version.sha256, is_directory=True, label=str(version)),
            "groups": InputRef(
                sha256=store().put_bytes(groups.data).sha256,
                is_directory=False,
                label=_("answers of %(campaign)s") % {"campaign": campaign},
            ),
        },
        context={"version": str(version.public_id), "campaign": str(campaign.public_id)},
    )


def register_scores(run: Run) -> None:
    """A finished run's scores.jsonl becomes rows, in place of older ones; in the transaction that ends the run.

    Raises:
        Refused: the file is not what a scoring run writes of this campaign (`scores_invalid`).
    """
    version = RewardModel.objects.get(public_id=run.context["version"])
    answers = Completion.objects.filter(prompt__campaign__public_id=run.context["campaign"])
    known = {str(public_id): pk for public_id, pk in answers.values_list("public_id", "pk")}
    rows: dict[int, Score] = {}
    for number, line in enumerate(_lines(run), start=1):
        try:
            row = _read_score(line, known, version)
            if row.completion_id in rows:
                raise ValueError("the answer stands on an earlier line already")
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise _invalid(number, error) from None
        rows[row.completion_id] = row
    if not rows:
        raise _invalid(1, ValueError("there are none"))
    # In one order, so that two runs that end together cannot wait for each other.
    Score.objects.bulk_create(
        (rows[key] for key in sorted(rows)),
        batch_size=ROWS_PER_STATEMENT,
        update_conflicts=True,
        unique_fields=["version", "completion"],
        update_fields=["score", "spread", "created_at"],
    )


def _lines(run: Run) -> Iterator[bytes]:
    with store().open(run.artifacts.get(name="scores").sha256, name="scores.jsonl") as handle:
        yield from handle


def _read_score(line: bytes, known: Mapping[str, int], version: RewardModel) -> Score:
    """A line of scores.jsonl, checked. Whatever is wrong with it is an error that `register_scores` turns down."""
    data = json.loads(line)
    key = data["completion"]
    if key not in known:
        raise ValueError("no answer of the campaign has this id")
    spread = None if data["spread"] is None else _number("spread", data["spread"])
    if spread is not None and spread < 0:
        raise ValueError(f"spread ({spread}) must be at least 0")
    return Score(version=version, completion_id=known[key], score=_number("score", data["score"]), spread=spread)


def _number(name: str, value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"{name} is {value!r:.40}, not a finite number")
    return float(value)


def _invalid(number: int, error: Exception) -> Refused:
    return Refused(
        _("Line %(number)d of the scores cannot be used (%(why)s); none were taken in. Score the answers again.")
        % {"number": number, "why": f"{type(error).__name__}: {error}"},
        code="scores_invalid",
        details={"line": number},
    )
