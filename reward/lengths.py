"""How long prompts and answers are in a model's tokens, without torch: what a run will need depends on it.

A prompt is counted as the tokens of its messages and those that the model's import found its chat template to add.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from django.db.models import Count, Max
from tokenizers import Tokenizer

from accounts.errors import Refused
from annotation.models import Campaign, Prompt, Split
from annotation.pairs import counted_rankings
from reward.groups import build_groups
from reward.training.estimate import GroupData, GroupLengths
from reward.training.shape import Shape, read_shape
from runs.artifacts import store

SAMPLED_PROMPTS = 500
"""Prompts of a split that are counted; they come in the order of a hash, so the others are like them."""

KEPT = 2
"""Snapshots and campaigns whose lengths stay in memory: of a hundred thousand groups they take some hundred MiB."""

CANNOT_BE_READ = (Refused, KeyError, TypeError, AttributeError, ValueError)
"""What comes of files that are missing, damaged or not what they should be: then nothing is told, and the run, which
reads them too, has words for it."""


class StoredModel(NamedTuple):
    """What can be told of a model directory in the store without loading it."""

    sha256: str
    shape: Shape
    tokenizer_sha256: str
    template_tokens: int


class Answer(NamedTuple):
    """A pair's two answers: tokens with the prompt."""

    better: int
    worse: int


class Line(NamedTuple):
    """A line of groups.jsonl. pairs: of the answers, without ties."""

    split: str
    group: GroupLengths
    pairs: Sequence[Answer]


def read_model(sha256: str) -> StoredModel | None:
    """The model of that hash; None for a family whose sizes are not known, or files that are not there."""
    try:
        return _read_model(sha256)
    except CANNOT_BE_READ:
        return None


@lru_cache(maxsize=64)
def _read_model(sha256: str) -> StoredModel | None:
    files = store().manifest(sha256)["files"]
    shape = read_shape(store().read_json(files["config.json"]["sha256"]))
    about = store().read_json(files["plumbline.json"]["sha256"]) if "plumbline.json" in files else {}
    tokens = about.get("template_tokens")
    known = tokens if type(tokens) is int and tokens > 0 else 0
    return None if shape is None else StoredModel(sha256, shape, files["tokenizer.json"]["sha256"], known)


@lru_cache(maxsize=4)
def _tokenizer(sha256: str) -> Tokenizer:
    """Raises ValueError for a file that is no tokenizer."""
    with store().open(sha256) as handle:
        data = handle.read()
    try:
        return Tokenizer.from_buffer(data)
    except Exception as error:  # the library raises nothing narrower
        raise ValueError(f"{sha256[:12]} is no tokenizer: {error}") from error


def prompt_lengths(model: StoredModel, prompts: Iterable[Sequence[dict[str, Any]]]) -> list[int]:
    """Tokens of each prompt, given as its messages."""
    texts = ["\n".join(str(message["content"]) for message in messages) for messages in prompts]
    return [count + model.template_tokens for count in _count(model, texts)]


def campaign_prompts(model: StoredModel, campaign: Campaign) -> tuple[list[int], list[int]]:
    """Tokens of the campaign's train and of its validation prompts; of many a part stands for all.

    Empty where the tokenizer cannot be read.
    """
    try:
        return _split_prompts(model, campaign, Split.TRAIN), _split_prompts(model, campaign, Split.VALIDATION)
    except CANNOT_BE_READ:
        return [], []


def _split_prompts(model: StoredModel, campaign: Campaign, split: Split) -> list[int]:
    prompts = Prompt.objects.filter(campaign=campaign, split=split)
    some = prompts.order_by("content_sha256").values_list("messages", flat=True)[:SAMPLED_PROMPTS]
    lengths = prompt_lengths(model, some)
    return list(itertools.islice(itertools.cycle(lengths), prompts.count()))


def snapshot_lines(model: StoredModel, sha256: str) -> tuple[Line, ...]:
    """A snapshot's groups.jsonl, by its hash. Empty where it is not there."""
    try:
        return _snapshot_lines(model, sha256)
    except CANNOT_BE_READ:
        return ()


def campaign_lines(model: StoredModel, campaign: Campaign) -> tuple[Line, ...]:
    """What a snapshot of the campaign's rankings would be now. Empty where the tokenizer cannot be read.

    A form asks at every keystroke, so they are read again only once there are others: rankings are never edited.
    """
    stamp = counted_rankings(campaign).aggregate(num=Count("pk"), last=Max("pk"))
    try:
        return _campaign_lines(model, campaign, (stamp["num"], stamp["last"]))
    except CANNOT_BE_READ:
        return ()


@lru_cache(maxsize=KEPT)
def _campaign_lines(model: StoredModel, campaign: Campaign, _stamp: tuple[int, int | None]) -> tuple[Line, ...]:
    return tuple(read_lines(model, build_groups(campaign).lines))


@lru_cache(maxsize=KEPT)
def _snapshot_lines(model: StoredModel, sha256: str) -> tuple[Line, ...]:
    with store().open(sha256) as handle:
        return tuple(read_lines(model, [json.loads(line) for line in handle if line.strip()]))


def read_lines(model: StoredModel, rows: Sequence[dict[str, Any]]) -> Iterator[Line]:
    """Lines of groups.jsonl, as lengths."""
    prompts = prompt_lengths(model, [row["messages"] for row in rows])
    unknown = [each for row in rows for each in row["completions"] if not _has_tokens(model, each)]
    counted = iter(_count(model, [each["text"] for each in unknown]))
    for row, prompt in zip(rows, prompts, strict=True):
        answers = [
            len(each["token_ids"]) if _has_tokens(model, each) else next(counted) + 1 for each in row["completions"]
        ]
        stated = [
            (pair["first"], pair["second"])[:: 1 if pair["outcome"] > 0 else -1]
            for pair in row["pairs"]
            if pair["outcome"]
        ]
        pairs = [Answer(prompt + answers[better], prompt + answers[worse]) for better, worse in stated]
        yield Line(row["split"], GroupLengths(prompt, answers), pairs)


def group_data(lines: Iterable[Line], *, max_tokens: int) -> GroupData | None:
    """What a reward model reads of them; None where nothing can be learned."""
    found: dict[str, list[GroupLengths]] = {Split.TRAIN: [], Split.VALIDATION: []}
    for line in lines:
        kept = [count for count in line.group.answers if line.group.prompt + count <= max_tokens]
        if kept and line.split in found:
            found[line.split].append(GroupLengths(line.group.prompt, kept))
    return GroupData(found[Split.TRAIN], found[Split.VALIDATION]) if found[Split.TRAIN] else None


def _has_tokens(model: StoredModel, completion: dict[str, Any]) -> bool:
    return bool(completion.get("token_ids")) and completion.get("tokenizer_sha256") == model.tokenizer_sha256


def _count(model: StoredModel, texts: Sequence[str]) -> list[int]:
    if not texts:
        return []
    encoded = _tokenizer(model.tokenizer_sha256).encode_batch(list(texts), add_special_tokens=False)
    return [len(each.ids) for each in encoded]
