"""Import of prompts, answers and rankings from JSONL: all of it or nothing; the same file twice is the same as once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.errors import Refused
from accounts.models import AuditEvent, User
from annotation.import_lines import Faults, Line, LineRanking, read_lines
from annotation.models import (
    Campaign,
    Completion,
    Labeler,
    LabelerKind,
    Prompt,
    Purpose,
    Ranking,
    RankingItem,
    Task,
    TaskCompletion,
    TaskRole,
)
from annotation.prompts import content_sha256
from annotation.services.campaigns import check_not_archived
from annotation.services.content import BATCH, NewPrompt, check_same, checked_prompt
from annotation.services.known_orders import import_known_orders
from annotation.services.queueing import NewTask, check_pairs, new_task, note_new_tasks
from annotation.submission import Submission, SubmittedItem, body_sha256


class ImportReport(NamedTuple):
    num_prompts: int
    num_completions: int
    num_rankings: int
    num_duplicates: int
    """Lines whose prompt was there already, in the campaign or further up in the file."""
    num_tasks: int


class ImportRefused(Refused):
    """The file has faults and nothing of it was stored; `details` has them with their line numbers."""

    def __init__(self, faults: Faults) -> None:
        first = faults.kept[0]
        count = ngettext("%(num)d fault", "%(num)d faults", faults.num) % {"num": faults.num}
        message = _("Nothing was imported: the file has %(count)s. Line %(line)d: %(message)s") % {
            "count": count,
            "line": first["line"],
            "message": first["message"],
        }
        super().__init__(message, code="import_refused", details={"errors": faults.kept, "num_errors": faults.num})


class Ranked(NamedTuple):
    line: Line
    task: Task
    answers: list[Completion]
    said: LineRanking


@transaction.atomic
def import_jsonl(*, campaign: Campaign, by: User | None, lines: Iterable[bytes] | bytes) -> ImportReport:
    """Add what the file holds: each line `{"prompt", "category"?, "language"?, "skill"?, "split"?, "completions"?,
    "rankings"?}`.

    A line with `"role": "gold" | "training", "gold": {"ranks", "explanation"?}` is a task with a known order.

    Also: lines with answers become tasks to collect preferences on; rankings that come along, by labelers of the kind
    `imported`, count towards their overlap; records `campaign.import`.

    Raises:
        ImportRefused: with every fault's line, code and sentence.
        Refused: campaign_archived, import_empty.
    """
    check_not_archived(campaign)
    # One import at a time in a campaign: two of the same file must not store anything twice.
    Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)
    faults = Faults()
    read = read_lines(lines, faults)
    if not read and not faults.num:
        raise Refused(_("The file holds no line to import."), code="import_empty")
    _check_protocol(campaign, read, faults)
    prompts, num_prompts = _store_prompts(campaign, read, faults)
    _refuse(faults)
    answers, num_completions = _store_completions(read, prompts)
    tasks, num_tasks = _store_tasks(campaign, [line for line in read if line.gold is None], prompts, answers)
    num_tasks += import_known_orders(campaign=campaign, by=by, lines=read, answers=answers, faults=faults)
    said = [
        Ranked(line, tasks[line.number], answers[line.number], ranking) for line in read for ranking in line.rankings
    ]
    num_rankings = _store_rankings(campaign, said, faults)
    _refuse(faults)
    report = ImportReport(num_prompts, num_completions, num_rankings, len(read) - num_prompts, num_tasks)
    AuditEvent.record(
        workspace=campaign.workspace, actor=by, verb="campaign.import", target=campaign, **report._asdict()
    )
    return report


def _check_protocol(campaign: Campaign, lines: Sequence[Line], faults: Faults) -> None:
    for line in lines:
        try:
            check_pairs(campaign, len(line.answers) or 2)
        except Refused as refused:
            faults.add(line.number, refused)


def _refuse(faults: Faults) -> None:
    if faults.num:
        faults.kept.sort(key=lambda fault: int(fault["line"]))
        raise ImportRefused(faults)


def _store_prompts(campaign: Campaign, lines: Sequence[Line], faults: Faults) -> tuple[dict[int, Prompt], int]:
    """The prompt of each line by line number, and how many are new. Stores nothing where there are faults."""
    shas = {line.number: content_sha256(line.messages) for line in lines}
    known = {prompt.content_sha256: prompt for prompt in campaign.prompts.filter(content_sha256__in=set(shas.values()))}
    new: list[Prompt] = []
    for line in lines:
        given = NewPrompt(
            messages=line.messages,
            category=line.category,
            language=line.language,
            skill=line.skill,
            split=line.split,
        )
        sha = shas[line.number]
        if sha not in known:
            known[sha] = checked_prompt(campaign, given)
            new.append(known[sha])
            continue
        try:
            check_same(known[sha], given)
        except Refused as refused:
            faults.add(line.number, refused)
    if not faults.num:
        Prompt.objects.bulk_create(new, batch_size=BATCH)
    return {number: known[sha] for number, sha in shas.items()}, len(new)


def _store_completions(lines: Sequence[Line], prompts: dict[int, Prompt]) -> tuple[dict[int, list[Completion]], int]:
    """The answers of each line by line number, and how many are new.

    An answer is known by its prompt, source and text; the second of two equal ones in a line is another sample.
    """
    with_answers = {prompts[line.number].pk for line in lines if line.answers}
    stored = Completion.objects.filter(prompt__in=with_answers, source__startswith="import:").defer("token_ids")
    samples: dict[tuple[int, str, str], list[Completion]] = defaultdict(list)
    num_samples: dict[tuple[int, str], int] = defaultdict(int)
    for completion in stored.order_by("sample_index"):
        samples[completion.prompt_id, completion.source, completion.text].append(completion)
        num_samples[completion.prompt_id, completion.source] = completion.sample_index + 1
    new: list[Completion] = []
    answers: dict[int, list[Completion]] = {}
    for line in lines:
        prompt = prompts[line.number]
        used: dict[tuple[int, str, str], int] = defaultdict(int)
        answers[line.number] = []
        for answer in line.answers:
            source = f"import:{answer.source}"
            key = (prompt.pk, source, answer.text)
            if used[key] == len(samples[key]):
                index = num_samples[prompt.pk, source]
                num_samples[prompt.pk, source] += 1
                samples[key].append(Completion(prompt=prompt, text=answer.text, source=source, sample_index=index))
                new.append(samples[key][-1])
            answers[line.number].append(samples[key][used[key]])
            used[key] += 1
    Completion.objects.bulk_create(new, batch_size=BATCH)
    return answers, len(new)


def _store_tasks(
    campaign: Campaign, lines: Sequence[Line], prompts: dict[int, Prompt], answers: dict[int, list[Completion]]
) -> tuple[dict[int, Task], int]:
    """The task of each line with answers by line number, and how many are new; the same answers are the same task."""
    asked = {prompts[line.number].pk for line in lines if line.answers}
    stored = Task.objects.not_archived().filter(campaign=campaign, prompt__in=asked, purpose=Purpose.COLLECT)
    stored = stored.filter(role=TaskRole.WORK)
    known = {
        frozenset(item.completion_id for item in task.items.all()): task
        for task in stored.prefetch_related("items").order_by("-pk")
    }
    new: list[tuple[Task, list[Completion]]] = []
    tasks: dict[int, Task] = {}
    for line in lines:
        if not line.answers:
            continue
        key = frozenset(answer.pk for answer in answers[line.number])
        if key not in known:
            prompt = prompts[line.number]
            known[key] = new_task(campaign, prompt, NewTask(prompt_id=prompt.public_id, completion_ids=()))
            new.append((known[key], answers[line.number]))
        tasks[line.number] = known[key]
    Task.objects.bulk_create([task for task, _answers in new], batch_size=BATCH)
    TaskCompletion.objects.bulk_create(
        (
            TaskCompletion(task=task, completion=completion, position=position)
            for task, completions in new
            for position, completion in enumerate(completions)
        ),
        batch_size=BATCH,
    )
    note_new_tasks([task for task, _answers in new])
    return tasks, len(new)


def _store_rankings(campaign: Campaign, said: Sequence[Ranked], faults: Faults) -> int:
    """Store the rankings that are not there yet; one that is there with another content is a fault."""
    labelers = _labelers(campaign, {ranked.said.labeler for ranked in said})
    tasks = {ranked.task.pk for ranked in said}
    known: dict[tuple[int, int], str] = {
        (task, labeler): sha
        for task, labeler, sha in Ranking.objects.current()
        .filter(task__in=tasks, labeler__kind=LabelerKind.IMPORTED)
        .values_list("task", "labeler", "body_sha256")
    }
    new: list[tuple[Ranking, Ranked]] = []
    for ranked in said:
        labeler = labelers[ranked.said.labeler]
        sha = body_sha256(_as_submission(ranked))
        before = known.setdefault((ranked.task.pk, labeler.pk), "")
        if before and before != sha:
            message = _("%(name)s has ranked these answers before, differently.") % {"name": labeler.name}
            faults.add(ranked.line.number, Refused(message, code="ranking_conflict"))
        if not before:
            known[ranked.task.pk, labeler.pk] = sha
            new.append((_ranking(campaign, labeler, ranked, sha), ranked))
    if not faults.num:
        aside = campaign.exclusions.in_force().values_list("labeler", flat=True)
        _write_rankings(new, set(aside))
    return len(new)


def _labelers(campaign: Campaign, names: set[str]) -> dict[str, Labeler]:
    workspace, kind = campaign.workspace, LabelerKind.IMPORTED
    Labeler.objects.bulk_create(
        (Labeler(workspace=workspace, kind=kind, name=name) for name in sorted(names)),
        ignore_conflicts=True,
        batch_size=BATCH,
    )
    return {labeler.name: labeler for labeler in workspace.labelers.filter(kind=kind, name__in=names)}


def _as_submission(ranked: Ranked) -> Submission:
    return Submission(
        items=[
            SubmittedItem(completion_id=UUID(str(answer.public_id)), rank=rank)
            # By key, so that the same ranking is known again when the file lists the answers in another order.
            for answer, rank in sorted(zip(ranked.answers, ranked.said.ranks, strict=True), key=lambda pair: pair[0].pk)
        ],
        none_acceptable=ranked.said.none_acceptable,
        strength=ranked.said.strength,
    )


def _ranking(campaign: Campaign, labeler: Labeler, ranked: Ranked, sha: str) -> Ranking:
    return Ranking(
        task=ranked.task,
        labeler=labeler,
        protocol=campaign.protocol,
        active_seconds=ranked.said.seconds,
        strength=ranked.said.strength,
        none_acceptable=ranked.said.none_acceptable,
        body_sha256=sha,
    )


def _write_rankings(new: Sequence[tuple[Ranking, Ranked]], aside: Container[int]) -> None:
    """Store rankings; those of labelers who are set aside take no slots."""
    Ranking.objects.bulk_create([ranking for ranking, _ranked in new], batch_size=BATCH)
    RankingItem.objects.bulk_create(
        (
            RankingItem(ranking=ranking, completion=answer, position_shown=position, rank=rank)
            for ranking, ranked in new
            for position, (answer, rank) in enumerate(zip(ranked.answers, ranked.said.ranks, strict=True))
        ),
        batch_size=BATCH,
    )
    counts: dict[int, int] = defaultdict(int)
    for ranking, _ranked in new:
        if ranking.labeler_id not in aside:
            counts[ranking.task_id] += 1
    _use_slots(counts)


def _use_slots(counts: dict[int, int]) -> None:
    """Rankings that came from outside fill free slots; where there are more of them, the task's overlap grows."""
    for task in Task.objects.filter(pk__in=counts).select_for_update(no_key=True).order_by("pk"):
        taken = min(task.free_slots, counts[task.pk])
        Task.objects.filter(pk=task.pk).update(
            free_slots=F("free_slots") - taken, overlap=F("overlap") + counts[task.pk] - taken
        )
