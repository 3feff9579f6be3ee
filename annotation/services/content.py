"""Prompts, answers and tasks: how they enter a campaign. Other rooms push through these; `annotation` never pulls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.utils.translation import gettext as _

from accounts.errors import Conflict, Refused
from accounts.text import check_text, storable
from annotation.answers import check_answer, check_num_answers
from annotation.models import Campaign, Completion, FinishReason, Prompt, Purpose, Split, Task, TaskCompletion
from annotation.prompts import Message, canonical_messages, checked_language, content_sha256
from annotation.protocols import PAIRWISE
from annotation.services.campaigns import check_not_archived
from annotation.services.participations import look_again

CATEGORY_MAX_CHARACTERS = 60
SOURCE_MAX_CHARACTERS = 120
BATCH = 1000
MANY = 1000
"""Tasks put in at once after which the queue is counted anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPrompt:
    messages: Sequence[Message] | str
    category: str = ""
    language: str = ""
    """BCP 47; blank: not known."""
    skill: str = ""
    """What a labeler must be good at to judge it."""
    split: str | None = None
    """None: train, until `split_by_hash` says otherwise."""


class AddedPrompts(NamedTuple):
    created: list[Prompt]
    duplicates: list[Prompt]
    """The prompt that was there already, once for each one given again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCompletion:
    prompt_id: UUID | str
    text: str
    token_ids: Sequence[int] | None = None
    tokenizer_sha256: str = ""
    finish_reason: str = ""
    sample_index: int = 0


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
def add_prompts(*, campaign: Campaign, prompts: Sequence[NewPrompt]) -> AddedPrompts:
    """Add prompts; one that is there already is counted, not stored twice.

    Raises:
        Refused: campaign_archived, split_unknown, duplicate_conflict (same prompt, other split or category), and the
            codes of `canonical_messages` and `check_text`.
    """
    check_not_archived(campaign)
    checked = [checked_prompt(campaign, prompt) for prompt in prompts]
    wanted: dict[str, Prompt] = {}
    for prompt in checked:
        wanted.setdefault(prompt.content_sha256, prompt)
    before = set(campaign.prompts.filter(content_sha256__in=wanted).values_list("content_sha256", flat=True))
    Prompt.objects.bulk_create(
        (prompt for sha, prompt in wanted.items() if sha not in before), ignore_conflicts=True, batch_size=BATCH
    )
    stored = {prompt.content_sha256: prompt for prompt in campaign.prompts.filter(content_sha256__in=wanted)}
    created: list[Prompt] = []
    duplicates: list[Prompt] = []
    for given, prompt in zip(prompts, checked, strict=True):
        found = stored[prompt.content_sha256]
        if found.public_id == prompt.public_id:
            created.append(found)
        else:
            check_same(found, given)
            duplicates.append(found)
    return AddedPrompts(created, duplicates)


def checked_prompt(campaign: Campaign, prompt: NewPrompt) -> Prompt:
    """An unsaved prompt, checked.

    Raises:
        Refused: split_unknown, language_unknown and the codes of `canonical_messages` and `check_text`.
    """
    messages = canonical_messages(prompt.messages)
    if prompt.split is not None and prompt.split not in Split.values:
        raise Refused(
            _("The split must be one of %(splits)s.") % {"splits": ", ".join(Split.values)}, code="split_unknown"
        )
    check_text(prompt.category, what=_("The category"), max_characters=CATEGORY_MAX_CHARACTERS, is_required=False)
    check_text(prompt.skill, what=_("The skill"), max_characters=CATEGORY_MAX_CHARACTERS, is_required=False)
    return Prompt(
        campaign=campaign,
        messages=messages,
        content_sha256=content_sha256(messages),
        split=prompt.split or Split.TRAIN,
        category=prompt.category,
        language=checked_language(prompt.language),
        skill=prompt.skill.strip(),
    )


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


def check_same(found: Prompt, given: NewPrompt) -> None:
    """Refuse a prompt that is given again with another split or category; what is left out agrees with anything.

    Raises:
        Conflict: duplicate_conflict.
    """
    for field in ("split", "category", "language", "skill"):
        value = getattr(given, field)
        if value and value != getattr(found, field):
            raise Conflict(
                _("This prompt is there already with %(field)s “%(old)s”, not “%(new)s”.")
                % {"field": field, "old": getattr(found, field), "new": value},
                code="duplicate_conflict",
            )


@transaction.atomic
def split_by_hash(*, campaign: Campaign, train: int, validation: int, test: int) -> None:
    """Assign the campaign's prompts to the splits in the order of their content's hash: same prompts, same splits.

    Args:
        train, validation, test: number of prompts in each; together all of the campaign's.

    Raises:
        Refused: split_sizes, split_frozen (answers exist), campaign_archived.
    """
    check_not_archived(campaign)
    if Completion.objects.filter(prompt__campaign=campaign).exists():
        raise Conflict(_("The splits are fixed: there are answers already."), code="split_frozen")
    keys = list(campaign.prompts.order_by("content_sha256").values_list("pk", flat=True))
    if min(train, validation, test) < 0 or train + validation + test != len(keys):
        raise Refused(
            _("%(sum)d prompts were asked for and the campaign has %(num)d; the sizes must add up.")
            % {"sum": train + validation + test, "num": len(keys)},
            code="split_sizes",
        )
    for split, start, size in (
        (Split.TRAIN, 0, train),
        (Split.VALIDATION, train, validation),
        (Split.TEST, train + validation, test),
    ):
        campaign.prompts.filter(pk__in=keys[start : start + size]).update(split=split)


@transaction.atomic
def add_completions(*, campaign: Campaign, source: str, completions: Sequence[NewCompletion]) -> list[Completion]:
    """Add answers, returned in the order given; one that is there (prompt, source, sample_index) is left as it is.

    Args:
        source: `checkpoint:<uuid>`, `import:<name>` or `human:<uuid>`. A checkpoint may write an empty answer or
            bytes that are no text; these become U+FFFD, the token ids stay true.

    Raises:
        Refused: campaign_archived, prompt_unknown, finish_reason_unknown or the codes of `check_text`.
    """
    check_not_archived(campaign)
    check_text(source, what=_("The source"), max_characters=SOURCE_MAX_CHARACTERS)
    prompts = prompts_by_id(campaign, {str(new.prompt_id) for new in completions})
    Completion.objects.bulk_create(
        (_new_completion(prompts[str(new.prompt_id)], source, new) for new in completions),
        ignore_conflicts=True,
        batch_size=BATCH,
    )
    keys = [(prompts[str(new.prompt_id)].pk, new.sample_index) for new in completions]
    stored = Completion.objects.filter(prompt__in={prompt for prompt, _index in keys}, source=source)
    by_key = {(completion.prompt_id, completion.sample_index): completion for completion in stored}
    return [by_key[key] for key in keys]


def _new_completion(prompt: Prompt, source: str, new: NewCompletion) -> Completion:
    if new.finish_reason and new.finish_reason not in FinishReason.values:
        raise Refused(
            _("%(reason)s is not a finish reason.") % {"reason": new.finish_reason}, code="finish_reason_unknown"
        )
    is_sampled = source.startswith("checkpoint:")
    return Completion(
        prompt=prompt,
        text=storable(new.text) if is_sampled else check_answer(new.text),
        token_ids=None if new.token_ids is None else list(new.token_ids),
        tokenizer_sha256=new.tokenizer_sha256 or "",
        finish_reason=new.finish_reason or "",
        source=source,
        sample_index=new.sample_index,
    )


def prompts_by_id(campaign: Campaign, public_ids: Iterable[str]) -> dict[str, Prompt]:
    """The campaign's prompts by public id.

    Raises:
        Refused: prompt_unknown.
    """
    wanted = set(public_ids)
    found = {str(prompt.public_id): prompt for prompt in campaign.prompts.filter(public_id__in=wanted)}
    for public_id in sorted(wanted - set(found)):
        raise Refused(_("The campaign has no prompt %(id)s.") % {"id": public_id}, code="prompt_unknown")
    return found


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
