"""Tasks whose order is known: gold, checked in silence, and training, with feedback."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.deadlocks import again_after_deadlock
from accounts.errors import Conflict, Refused
from accounts.models import AuditEvent, User
from accounts.text import check_text
from annotation.import_lines import Faults, Line
from annotation.models import Campaign, Completion, Gold, Participation, Ranking, RankingItem, Task, TaskRole
from annotation.scoring import score
from annotation.services.queueing import NewTask, create_tasks
from annotation.submission import dense

EXPLANATION_MAX_CHARACTERS = 4000
MAX_RANK = 9


class Feedback(NamedTuple):
    """What a labeler is told after a training task."""

    score: float | None
    """Share of the pairs with a known order that were ranked the same way; None where there are none."""
    expected: dict[str, int]
    """Completion public id -> rank in the known order."""
    explanation: str
    """Markdown."""
    has_qualified: bool | None
    """True: with this task they qualified; False: this attempt was not enough; None: it is not decided."""


@transaction.atomic
def add_known_order(
    *, campaign: Campaign, by: User | None, task: NewTask, role: str, ranks: Mapping[str, int], explanation: str = ""
) -> Task:
    """Make a gold or a training task of a prompt and its answers.

    Args:
        ranks: completion public id -> rank, 1 is best, equal is a tie; an answer that is left out is not checked.

    Also: records `campaign.known_order_add`.

    Raises:
        Refused: the codes of `check_known_order` and of `create_tasks`.
    """
    answers = [str(public_id) for public_id in task.completion_ids]
    known = check_known_order(campaign, answers=answers, role=role, ranks=ranks, explanation=explanation)
    made = create_tasks(campaign=campaign, tasks=[task])[0]
    made.role, made.overlap, made.free_slots = role, 1, 0
    made.save(update_fields=["role", "overlap", "free_slots"])
    Gold.objects.create(task=made, ranks=known, explanation=explanation)
    AuditEvent.record(
        workspace=campaign.workspace,
        actor=by,
        verb="campaign.known_order_add",
        target=campaign,
        task=str(made.public_id),
        role=role,
    )
    return made


@transaction.atomic
def make_known_order(
    *, task: Task, by: User | None, role: str, ranks: Mapping[str, int], explanation: str = ""
) -> Task:
    """Make a gold or a training task of the prompt and answers of a task that is there.

    Also: that task leaves the queue where nobody has begun it, so that no one meets the same answers twice.

    Raises:
        Refused: the codes of `add_known_order`.
    """
    answers = [answer.public_id for answer in task.completions.order_by("task_items__position")]
    new = NewTask(prompt_id=task.prompt.public_id, completion_ids=answers, priority=task.priority)
    made = add_known_order(campaign=task.campaign, by=by, task=new, role=role, ranks=ranks, explanation=explanation)
    untouched = Task.objects.open().filter(pk=task.pk, free_slots=F("overlap"))
    untouched.update(archived_at=timezone.now())
    return made


def import_known_orders(
    *,
    campaign: Campaign,
    by: User | None,
    lines: Sequence[Line],
    answers: Mapping[int, Sequence[Completion]],
    faults: Faults,
) -> int:
    """Make the gold and training tasks of an import that are not there yet; one that decides nothing is a fault.

    Args:
        answers: stored answers by line number.

    Returns:
        How many are new.
    """
    stored = Task.objects.not_archived().filter(campaign=campaign).exclude(role=TaskRole.WORK)
    known = {
        (task.role, frozenset(item.completion_id for item in task.items.all()))
        for task in stored.prefetch_related("items")
    }
    num_before = len(known)
    for line in lines:
        if line.gold is None:
            continue
        own = answers[line.number]
        key = line.gold.role, frozenset(answer.pk for answer in own)
        if key in known:
            continue
        known.add(key)
        ids = [str(answer.public_id) for answer in own]
        ranks = {answer: rank for answer, rank in zip(ids, line.gold.ranks, strict=True) if rank is not None}
        task = NewTask(prompt_id=own[0].prompt.public_id, completion_ids=ids)
        try:
            add_known_order(
                campaign=campaign,
                by=by,
                task=task,
                role=line.gold.role,
                ranks=ranks,
                explanation=line.gold.explanation,
            )
        except Refused as refused:
            faults.add(line.number, refused)
    return len(known) - num_before


def check_known_order(
    campaign: Campaign, *, answers: list[str], role: str, ranks: Mapping[str, int], explanation: str
) -> dict[str, int]:
    """Return the order with dense ranks.

    Raises:
        Refused: role_unknown, known_order_invalid, known_order_empty or the codes of `check_text`.
    """
    if role not in (TaskRole.GOLD, TaskRole.TRAINING):
        raise Refused(_("A task with a known order is gold or training."), code="role_unknown")
    check_text(explanation, what=_("The explanation"), max_characters=EXPLANATION_MAX_CHARACTERS, is_required=False)
    if not set(ranks) <= set(answers) or not all(_is_rank(rank) for rank in ranks.values()):
        raise Refused(
            _("A known order gives answers of the task a whole number from 1 to %(max)d.") % {"max": MAX_RANK},
            code="known_order_invalid",
        )
    known = {answer: rank for answer, rank in zip(ranks, dense(list(ranks.values())), strict=True) if rank is not None}
    if score(known, known, campaign.protocol) is None:
        raise Refused(
            _("The known order decides nothing; put at least two answers in an order that this campaign asks for."),
            code="known_order_empty",
        )
    return known


def _is_rank(rank: object) -> bool:
    return isinstance(rank, int) and not isinstance(rank, bool) and 1 <= rank <= MAX_RANK


@again_after_deadlock
@transaction.atomic
def change_known_order(
    *, task: Task, by: User | None, ranks: Mapping[str, int] | None = None, explanation: str | None = None
) -> int:
    """Put the answers of a gold or training task in another order; None: as it is.

    Also: scores again what was said of it, while who has qualified or failed stays so; records
    `campaign.known_order_change`, or nothing where nothing changes.

    Returns:
        How many rankings have another score.

    Raises:
        Conflict: known_order_archived.
        Refused: the codes of `check_known_order`.
    """
    # Whoever hands in a ranking of the task takes this lock too: it is scored by the new order there or here.
    gold = Gold.objects.select_for_update(of=("self",), no_key=True).select_related("task__campaign").get(task=task)
    if gold.task.archived_at is not None:
        raise _archived()
    before = gold.ranks, gold.explanation
    gold.explanation = gold.explanation if explanation is None else explanation
    gold.ranks = check_known_order(
        gold.task.campaign,
        answers=[str(public_id) for public_id in task.completions.values_list("public_id", flat=True)],
        role=gold.task.role,
        ranks=gold.ranks if ranks is None else ranks,
        explanation=gold.explanation,
    )
    if (gold.ranks, gold.explanation) == before:
        return 0
    gold.save(update_fields=["ranks", "explanation"])
    num_rescored = _score_again(gold)
    AuditEvent.record(
        workspace=gold.task.campaign.workspace,
        actor=by,
        verb="campaign.known_order_change",
        target=gold.task.campaign,
        task=str(gold.task.public_id),
        ranks=gold.ranks,
        ranks_before=before[0],
        num_rescored=num_rescored,
    )
    return num_rescored


def _score_again(gold: Gold) -> int:
    """Score all rankings of the task by its order as it is now; returns how many scores are others."""
    rankings = gold.task.rankings.order_by("pk").prefetch_related("items__completion")
    revised = {ranking.superseded_by_id: ranking.pk for ranking in rankings if ranking.superseded_by_id}
    scores: dict[int, float | None] = {}
    changed = []
    for ranking in rankings:
        if gold.task.role == TaskRole.TRAINING and ranking.pk in revised:
            scores[ranking.pk] = scores[revised[ranking.pk]]
        else:
            scores[ranking.pk] = _score(gold, ranking, ranking.items.all())
        if scores[ranking.pk] != ranking.gold_score:
            ranking.gold_score = scores[ranking.pk]
            changed.append(ranking)
    Ranking.objects.bulk_update(changed, ["gold_score"], batch_size=1000)
    return len(changed)


def _score(gold: Gold, ranking: Ranking, items: Iterable[RankingItem]) -> float | None:
    said = {str(item.completion.public_id): item.rank for item in items}
    return score(gold.ranks, said, ranking.protocol)


def _archived() -> Conflict:
    return Conflict(_("This task is archived already."), code="known_order_archived")


@transaction.atomic
def archive_known_order(*, task: Task, by: User | None) -> Task:
    """Give a gold or training task to nobody any more; what was said of it stays.

    Also: records `campaign.known_order_archive`.

    Raises:
        Conflict: known_order_archived.
    """
    known = Task.objects.not_archived().filter(pk=task.pk).exclude(role=TaskRole.WORK)
    if not known.update(archived_at=timezone.now()):
        raise _archived()
    AuditEvent.record(
        workspace=task.campaign.workspace,
        actor=by,
        verb="campaign.known_order_archive",
        target=task.campaign,
        task=str(task.public_id),
    )
    task.refresh_from_db(fields=["archived_at"])
    return task


def score_ranking(ranking: Ranking, *, revises: Ranking | None) -> Feedback:
    """Score a ranking of a task with a known order and store the score; a revised training task keeps its first.

    Call it inside a transaction.
    """
    # A manager may be changing the order: then this ranking waits for the new one.
    gold = Gold.objects.select_for_update(of=("self",), no_key=True).select_related("task").get(task=ranking.task_id)
    if revises is not None and gold.task.role == TaskRole.TRAINING:
        reached = revises.gold_score
    else:
        reached = _score(gold, ranking, ranking.items.select_related("completion"))
    ranking.gold_score = reached
    ranking.save(update_fields=["gold_score"])
    return Feedback(score=reached, expected=gold.ranks, explanation=gold.explanation, has_qualified=None)


def feedback_again(ranking: Ranking, participation: Participation) -> Feedback:
    """What a labeler was told after a training task, for one whose answer was lost on the way."""
    gold = Gold.objects.get(task=ranking.task_id)
    decided = True if participation.qualified_version_id else False if participation.failed_at else None
    return Feedback(ranking.gold_score, gold.ranks, gold.explanation, decided)
