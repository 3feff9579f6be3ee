"""Tasks: how prompts with their answers enter the queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connection, transaction
from django.utils.translation import gettext as _

from accounts.errors import Refused
from annotation.answers import check_num_answers
from annotation.models import Campaign, Completion, Prompt, Purpose, Task, TaskCompletion
from annotation.protocols import PAIRWISE
from annotation.services.campaigns import check_not_archived
from annotation.services.content import BATCH, prompts_by_id
from annotation.services.participations import look_again

MANY = 1000
"""Tasks put in at once after which the queue is counted anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    prompt_id: UUID | str
    completion_ids: Sequence[UUID | str]
    """In the order of `TaskCompletion.position`."""
    purpose: str = Purpose.COLLECT
    priority: int = 100
    overlap: int | None = None
    """None: the campaign's."""
    is_order_fixed: bool = False


@transaction.atomic
def create_tasks(*, campaign: Campaign, tasks: Sequence[NewTask]) -> list[Task]:
    """Put tasks in the queue, in the order given.

    Raises:
        Refused: campaign_archived, prompt_unknown, completion_unknown, too_few_answers, too_many_answers,
            protocol_needs_two, duplicate_answer, purpose_unknown, overlap_out_of_range.
    """
    check_not_archived(campaign)
    prompts = prompts_by_id(campaign, {str(new.prompt_id) for new in tasks})
    answers = Completion.objects.filter(prompt__campaign=campaign)
    wanted = {str(public_id) for new in tasks for public_id in new.completion_ids}
    known = {str(a.public_id): a for a in answers.filter(public_id__in=wanted).defer("text", "token_ids")}
    made = []
    for new in tasks:
        prompt = prompts[str(new.prompt_id)]
        _check_answers(campaign, prompt, [known.get(str(public_id)) for public_id in new.completion_ids])
        made.append(new_task(campaign, prompt, new))
    stored = Task.objects.bulk_create(made, batch_size=BATCH)
    TaskCompletion.objects.bulk_create(
        (
            TaskCompletion(task=task, completion=known[str(public_id)], position=position)
            for task, new in zip(stored, tasks, strict=True)
            for position, public_id in enumerate(new.completion_ids)
        ),
        batch_size=BATCH,
    )
    note_new_tasks(stored)
    return stored


def note_new_tasks(tasks: Sequence[Task]) -> None:
    """Let labelers who are further on in the queue see the tasks that were put in before their place.

    Also: after many, PostgreSQL counts the queue. Plans made for a small one read all of a large one for each claim.
    """
    if tasks:
        first = min(tasks, key=lambda task: (task.priority, task.pk))
        look_again(campaign_id=first.campaign_id, priority=first.priority, task_id=first.pk)
    if len(tasks) >= MANY:
        with connection.cursor() as cursor:
            cursor.execute(f'ANALYZE "{Task._meta.db_table}"')


def new_task(campaign: Campaign, prompt: Prompt, new: NewTask) -> Task:
    """An unsaved task with all its slots free, checked.

    Raises:
        Refused: purpose_unknown, overlap_out_of_range.
    """
    overlap = campaign.overlap if new.overlap is None else new.overlap
    if new.purpose not in Purpose.values:
        raise Refused(_("%(purpose)s is not a purpose.") % {"purpose": new.purpose}, code="purpose_unknown")
    if not 1 <= overlap <= 50:
        raise Refused(_("Rankings per task must be from 1 to 50."), code="overlap_out_of_range")
    return Task(
        campaign=campaign,
        prompt=prompt,
        purpose=new.purpose,
        language=prompt.language,
        skill=prompt.skill,
        priority=new.priority,
        overlap=overlap,
        free_slots=overlap,
        is_order_fixed=new.is_order_fixed,
    )


def _check_answers(campaign: Campaign, prompt: Prompt, answers: Sequence[Completion | None]) -> None:
    check_num_answers(len(answers))
    check_pairs(campaign, len(answers))
    if any(answer is None or answer.prompt_id != prompt.pk for answer in answers):
        raise Refused(_("A task names an answer that its prompt does not have."), code="completion_unknown")
    if len({answer.pk for answer in answers if answer is not None}) < len(answers):
        raise Refused(_("A task names an answer twice."), code="duplicate_answer")


def check_pairs(campaign: Campaign, num_answers: int) -> None:
    """Refuse a task that the campaign's protocol cannot ask.

    Raises:
        Refused: protocol_needs_two.
    """
    if campaign.protocol in PAIRWISE and num_answers != 2:
        raise Refused(
            _("This campaign asks for a choice between two answers; a task has %(num)d.") % {"num": num_answers},
            code="protocol_needs_two",
        )
