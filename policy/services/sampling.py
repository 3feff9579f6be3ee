"""Answers of checkpoints: drawn by a run, then pushed into a campaign's queue, blind."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Max, prefetch_related_objects
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.errors import Refused
from accounts.models import AuditEvent, User
from annotation.models import Campaign, Completion, Prompt, Purpose, Split
from annotation.services import NewCompletion, NewTask, add_completions, create_tasks, demote_stale, distinct
from annotation.services.campaigns import check_not_archived
from policy.models import Checkpoint, WinRateStudy, WinRateTask
from runs.artifacts import store
from runs.models import Run, RunNote
from runs.services import InputRef, create_run

SAMPLE_KIND = "policy.sample"
COLLECT_PRIORITY = 100
FOLLOW_PRIORITY = 50
RATE_PRIORITY = 40


def write_prompts(prompts: Sequence[Prompt]) -> str:
    """Store prompts as prompts.jsonl and return its hash."""
    rows = [{"id": str(p.public_id), "split": p.split, "messages": p.messages} for p in prompts]
    data = "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows).encode()
    return store().put_bytes(data).sha256


@transaction.atomic
def start_sampling(
    *,
    campaign: Campaign,
    by: User | None,
    checkpoints: Sequence[Checkpoint],
    per_prompt: int,
    splits: Sequence[str] = (Split.TRAIN, Split.VALIDATION),
    config: dict[str, Any] | None = None,
    seed: int = 0,
    priority: int = COLLECT_PRIORITY,
    max_prompts: int | None = None,
) -> Run:
    """Queue a run that draws `per_prompt` answers from each checkpoint; they enter the queue when it is done.

    Raises:
        Refused: no checkpoint, one twice or of another workspace, no prompts in the splits, a test prompt asked for,
            an archived campaign, or an invalid config.
    """
    if Split.TEST in splits:
        raise Refused(
            _("Test prompts are kept for win rates; sample from train and validation prompts."),
            code="test_split_refused",
        )
    prompts = list(campaign.prompts.filter(split__in=splits).order_by("content_sha256")[:max_prompts])
    return _queue(
        campaign=campaign,
        by=by,
        checkpoints=checkpoints,
        prompts=prompts,
        per_prompt=per_prompt,
        config=config,
        seed=seed,
        context={"priority": priority},
    )


def queue_study_sampling(*, study: WinRateStudy, by: User | None, per_prompt: int, config: dict[str, Any]) -> Run:
    """Queue the answers of both sides of a win-rate study on the campaign's test prompts."""
    prompts = list(study.campaign.prompts.filter(split=Split.TEST).order_by("content_sha256"))
    return _queue(
        campaign=study.campaign,
        by=by,
        checkpoints=[study.candidate, study.baseline],
        prompts=prompts,
        per_prompt=per_prompt,
        config=config,
        seed=study.seed,
        context={"study": str(study.public_id)},
    )


def _queue(
    *,
    campaign: Campaign,
    by: User | None,
    checkpoints: Sequence[Checkpoint],
    prompts: Sequence[Prompt],
    per_prompt: int,
    config: dict[str, Any] | None,
    seed: int,
    context: dict[str, Any],
) -> Run:
    check_not_archived(campaign)
    _check_checkpoints(campaign, checkpoints)
    if not prompts:
        raise Refused(
            _("The campaign has no prompts of that kind; import prompts first."), code="no_prompts", status=409
        )
    inputs = {"prompts": InputRef(sha256=write_prompts(prompts), is_directory=False, label=_("prompts"))}
    for index, checkpoint in enumerate(checkpoints):
        inputs[f"model_{index}"] = InputRef(sha256=checkpoint.sha256, is_directory=True, label=str(checkpoint))
    run = create_run(
        workspace=campaign.workspace,
        by=by,
        kind=SAMPLE_KIND,
        title=_("Answers for %(campaign)s") % {"campaign": campaign},
        config={**(config or {}), "per_prompt": per_prompt, "sources": [c.uri for c in checkpoints]},
        seed=seed,
        inputs=inputs,
        context={"campaign": str(campaign.public_id), **context},
    )
    AuditEvent.record(workspace=campaign.workspace, actor=by, verb="policy.sample", target=run)
    return run


def _check_checkpoints(campaign: Campaign, checkpoints: Sequence[Checkpoint]) -> None:
    if not checkpoints:
        raise Refused(_("Choose at least one checkpoint to sample from."), code="no_checkpoint")
    if len({checkpoint.pk for checkpoint in checkpoints}) < len(checkpoints):
        raise Refused(_("A checkpoint is named twice."), code="duplicate_checkpoint")
    if any(checkpoint.workspace_id != campaign.workspace_id for checkpoint in checkpoints):
        raise Refused(_("Checkpoints and campaign must be of one workspace."), code="workspace_mismatch")


def receive_answers(run: Run) -> None:
    """A finished sampling run's answers become completions and tasks; runs inside the transaction that ends the run."""
    # One at a time: the answers of two runs of one checkpoint must not get the same numbers.
    campaign = Campaign.objects.select_for_update(no_key=True).get(public_id=run.context["campaign"])
    completions = [
        completion
        for source, answers in _by_source(run, campaign).items()
        for completion in add_completions(campaign=campaign, source=source, completions=answers)
    ]
    prefetch_related_objects(completions, "prompt")
    if "study" in run.context:
        _create_study_tasks(WinRateStudy.objects.get(public_id=run.context["study"]), completions)
        return
    _demote_overtaken(campaign, run)
    made = ranking_tasks(campaign, completions, run)
    create_tasks(campaign=campaign, tasks=made.tasks)
    _tell_what_was_left_out(run, made)


def _demote_overtaken(campaign: Campaign, run: Run) -> None:
    """What earlier checkpoints of the same lineages have in the queue, and nobody has begun, now comes last."""
    newer = Checkpoint.objects.filter(public_id__in=[uri.removeprefix("checkpoint:") for uri in run.config["sources"]])
    newest = {row["lineage"]: row["last"] for row in newer.values("lineage").annotate(last=Max("number"))}
    older: set[str] = set()
    fresh: set[str] = set()
    for checkpoint in Checkpoint.objects.filter(lineage__in=newest):
        (older if checkpoint.number < newest[checkpoint.lineage_id] else fresh).add(checkpoint.uri)
    num = demote_stale(campaign=campaign, older=older, newer=fresh)
    if num:
        told = ngettext(
            "%(num)d waiting task of earlier checkpoints now comes last.",
            "%(num)d waiting tasks of earlier checkpoints now come last.",
            num,
        )
        _note(run, "stale_tasks_demoted", told % {"num": num})


def _tell_what_was_left_out(run: Run, made: RankingTasks) -> None:
    if made.num_near:
        told = ngettext(
            "%(num)d answer is nearly the same as another and stands in no task.",
            "%(num)d answers are nearly the same as others and stand in no task.",
            made.num_near,
        )
        _note(run, "near_duplicates", told % {"num": made.num_near})
    if made.num_without:
        told = ngettext(
            "%(num)d prompt got no task: it has no two answers that differ.",
            "%(num)d prompts got no task: they have no two answers that differ.",
            made.num_without,
        )
        _note(run, "prompts_without_task", told % {"num": made.num_without})


def _note(run: Run, code: str, message: str) -> None:
    RunNote.objects.create(run=run, code=code, message=message, created_at=timezone.now())


def _by_source(run: Run, campaign: Campaign) -> dict[str, list[NewCompletion]]:
    """The run's answers by checkpoint, numbered on from the answers that checkpoint has in the campaign already."""
    found: dict[str, list[NewCompletion]] = {}
    taken: dict[str, int] = {}
    with store().open(run.artifacts.get(name="completions").sha256) as handle:
        for line in handle:
            row = json.loads(line)
            source = row["source"]
            if source not in taken:
                taken[source] = _num_samples(campaign, source)
            found.setdefault(source, []).append(
                NewCompletion(
                    prompt_id=row["prompt_id"],
                    text=row["text"],
                    token_ids=row["token_ids"],
                    tokenizer_sha256=row["tokenizer_sha256"],
                    finish_reason=row["finish_reason"],
                    sample_index=taken[source] + row["sample_index"],
                )
            )
    return found


def _num_samples(campaign: Campaign, source: str) -> int:
    last = Completion.objects.filter(prompt__campaign=campaign, source=source).aggregate(last=Max("sample_index"))[
        "last"
    ]
    return 0 if last is None else last + 1


def _by_prompt(completions: Sequence[Completion]) -> dict[Prompt, list[Completion]]:
    found: dict[Prompt, list[Completion]] = {}
    for completion in completions:
        found.setdefault(completion.prompt, []).append(completion)
    return found


class RankingTasks(NamedTuple):
    tasks: list[NewTask]
    num_near: int
    """Answers left out because one that is kept says nearly the same."""
    num_without: int
    """Prompts with fewer than two distinct answers."""


def ranking_tasks(campaign: Campaign, completions: Sequence[Completion], run: Run) -> RankingTasks:
    """Shuffle a prompt's distinct answers and cut them into tasks of the campaign's size; no task has a lone answer."""
    order = random.Random(run.seed)
    tasks: list[NewTask] = []
    num_near = num_without = 0
    for prompt, answers in _by_prompt(completions).items():
        kept = distinct(answers, text=lambda answer: answer.text)
        num_near += len(answers) - len(kept)
        num_without += len(kept) < 2
        order.shuffle(kept)
        size = campaign.completions_per_task
        for start in range(0, len(kept), size):
            chunk = kept[start : start + size]
            if len(chunk) >= 2:
                ids = [answer.public_id for answer in chunk]
                tasks.append(NewTask(prompt_id=prompt.public_id, completion_ids=ids, priority=run.context["priority"]))
    return RankingTasks(tasks, num_near, num_without)


def _create_study_tasks(study: WinRateStudy, completions: Sequence[Completion]) -> None:
    """Each pair of answers is asked in both orders, so that a liking for the first place cancels."""
    specs: list[NewTask] = []
    candidate_first: list[bool] = []
    for prompt, answers in _by_prompt(completions).items():
        sides = {
            uri: sorted((a for a in answers if a.source == uri), key=lambda a: a.sample_index)
            for uri in (study.candidate.uri, study.baseline.uri)
        }
        for ours, theirs in zip(sides[study.candidate.uri], sides[study.baseline.uri], strict=True):
            for pair in ((ours, theirs), (theirs, ours)):
                specs.append(
                    NewTask(
                        prompt_id=prompt.public_id,
                        completion_ids=[answer.public_id for answer in pair],
                        purpose=Purpose.RATE,
                        priority=RATE_PRIORITY,
                        is_order_fixed=True,
                    )
                )
                candidate_first.append(pair[0] is ours)
    tasks = create_tasks(campaign=study.campaign, tasks=specs)
    WinRateTask.objects.bulk_create(
        WinRateTask(study=study, task=task, is_candidate_first=first)
        for task, first in zip(tasks, candidate_first, strict=True)
    )
