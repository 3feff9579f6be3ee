"""Prompts and answers: how they enter a campaign. Other rooms push through these; `annotation` never pulls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.errors import Conflict, Refused
from accounts.text import check_text, storable
from annotation.answers import check_answer
from annotation.models import Campaign, Completion, FinishReason, Prompt, Split
from annotation.prompts import Message, canonical_messages, checked_language, content_sha256
from annotation.services.campaigns import check_not_archived

CATEGORY_MAX_CHARACTERS = 60
SOURCE_MAX_CHARACTERS = 120
BATCH = 1000


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
