"""The rankings of a campaign as groups.jsonl: the one format a reward model is trained from.

A group is a prompt, every answer of it that somebody judged, one pair per labeler and comparable couple of answers, and
verdicts on single answers. Preferences are kept as said: nothing is averaged, and the pairs of a prompt need not be a
weak order.

    said                                        pairs                   verdicts
    ranked                                      with all other ranked   the best: acceptable
    ranked, and "none of them is acceptable"    with all other ranked   all of them: not acceptable
    cannot be ranked                            none                    not acceptable

Imported rankings were not asked what is acceptable: of theirs only the words for "not" count.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from django.db.models import Exists, OuterRef, Prefetch

from annotation.models import Campaign, Completion, Prompt, Ranking, Split
from annotation.pairs import counted_rankings, pairs_of

TRAINED_SPLITS = (Split.TRAIN, Split.VALIDATION)
"""Test prompts are read once, for the win rate; their rankings never reach a reward model."""


class Groups(NamedTuple):
    lines: list[dict[str, Any]]
    rankings: list[Ranking]

    @property
    def data(self) -> bytes:
        """Canonical JSON lines: the same answers and rankings give the same bytes."""
        rows = (json.dumps(line, sort_keys=True, ensure_ascii=False, separators=(",", ":")) for line in self.lines)
        return "".join(f"{row}\n" for row in rows).encode()

    def count_pairs(self, split: str) -> int:
        return sum(len(line["pairs"]) for line in self.lines if line["split"] == split)


def build_groups(campaign: Campaign) -> Groups:
    """Read the campaign's counted rankings on train and validation prompts, grouped by prompt in a stable order."""
    rankings = list(
        counted_rankings(campaign)
        .filter(task__prompt__split__in=TRAINED_SPLITS)
        .select_related("task__prompt", "labeler")
        .prefetch_related("items__completion", "items__rewrite")
        .order_by("task__prompt__public_id", "labeler__public_id", "public_id")
    )
    by_prompt: dict[int, list[Ranking]] = {}
    for ranking in rankings:
        by_prompt.setdefault(ranking.task.prompt_id, []).append(ranking)
    lines = (_group(said[0].task.prompt, said) for said in by_prompt.values())
    return Groups([line for line in lines if line["pairs"] or line["verdicts"]], rankings)


def build_unjudged(campaign: Campaign) -> Groups:
    """Every answer of the campaign, of all splits, with nobody's word on it; in a stable order."""
    ordered = Prefetch("completions", Completion.objects.order_by("public_id"))
    prompts = campaign.prompts.filter(Exists(Completion.objects.filter(prompt=OuterRef("pk")))).order_by("public_id")
    lines = [unjudged_line(prompt, prompt.completions.all()) for prompt in prompts.prefetch_related(ordered)]
    return Groups(lines, [])


def unjudged_line(prompt: Prompt, completions: Iterable[Completion]) -> dict[str, Any]:
    """A prompt and answers of it that a model reads and does not learn from, so that the prompt may be a test prompt:
    the line says "train" of all, because a file with test prompts is turned away."""
    return {
        "prompt_id": str(prompt.public_id),
        "split": "train",
        "messages": prompt.messages,
        "completions": [completion_line(completion) for completion in completions],
        "pairs": [],
    }


def _group(prompt: Prompt, rankings: Iterable[Ranking]) -> dict[str, Any]:
    rankings = list(rankings)
    completions = {item.completion_id: item.completion for ranking in rankings for item in ranking.items.all()}
    ordered = sorted(completions.values(), key=lambda completion: str(completion.public_id))
    place = {completion.pk: index for index, completion in enumerate(ordered)}
    line = {
        "prompt_id": str(prompt.public_id),
        "split": prompt.split,
        "category": prompt.category,
        "messages": prompt.messages,
        "completions": [completion_line(completion) for completion in ordered],
        "pairs": [pair for ranking in rankings for pair in _pairs(ranking, place)],
        "verdicts": [verdict for ranking in rankings for verdict in _verdicts(ranking, place)],
    }
    demonstrations = [line for ranking in rankings for line in _demonstrations(ranking)]
    return {**line, "demonstrations": demonstrations} if demonstrations else line


def _demonstrations(ranking: Ranking) -> Iterator[dict[str, Any]]:
    """Better versions that the labeler wrote."""
    for item in ranking.items.all():
        if item.rewrite is not None:
            yield {**completion_line(item.rewrite), "labeler": str(ranking.labeler.public_id)}


def completion_line(completion: Completion) -> dict[str, Any]:
    """An answer as it stands in a line of groups.jsonl."""
    return {
        "id": str(completion.public_id),
        "text": completion.text,
        "token_ids": completion.token_ids,
        "tokenizer_sha256": completion.tokenizer_sha256 or None,
        "finish_reason": completion.finish_reason or None,
    }


def _pairs(ranking: Ranking, place: dict[int, int]) -> Iterator[dict[str, Any]]:
    for first, second, outcome in pairs_of(ranking):
        yield {
            "first": place[first],
            "second": place[second],
            "outcome": outcome,
            "weight": 1.0,
            "labeler": str(ranking.labeler.public_id),
            "strength": ranking.strength,
        }


def _verdicts(ranking: Ranking, place: dict[int, int]) -> Iterator[dict[str, Any]]:
    for item in ranking.items.all():
        if item.rank is None or ranking.none_acceptable:
            acceptable = False
        elif item.rank == 1 and ranking.lease_id is not None:
            acceptable = True
        else:
            continue
        labeler = str(ranking.labeler.public_id)
        yield {"answer": place[item.completion_id], "acceptable": acceptable, "weight": 1.0, "labeler": labeler}
