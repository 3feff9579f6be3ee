"""The run kind `reward.score`: a reward model and answers in, scores.jsonl out.

    {"completion": "0f6c…", "score": 0.81, "spread": 0.12, "num_tokens": 40}

A line for each answer, in the order in which they came. score is the mean over the model's heads, spread their standard
deviation (n - 1; null with one head), both in reward units; num_tokens is the length of the answer without its prompt.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import NamedTuple

import torch

from reward.training.config import ScoreConfig
from reward.training.groups import read_groups
from reward.training.language_model import Tokenizer
from reward.training.packing import by_prompt
from reward.training.precision import use_bfloat16
from reward.training.reward_model import RewardModel
from reward.training.rundir import Outcome, RunDirectory, TrainingRefused

SHOWN_LEFT_OUT = 10


class Asked(NamedTuple):
    """An answer behind its prompt, as token ids. completion: the answer's id."""

    completion: str
    prompt: list[int]
    tokens: list[int]

    @property
    def num_tokens(self) -> int:
        """Of prompt and answer."""
        return len(self.prompt) + len(self.tokens)


class Scored(NamedTuple):
    """A line of scores.jsonl."""

    completion: str
    score: float
    spread: float | None
    num_tokens: int


def score_answers(run: RunDirectory) -> Outcome:
    """Score every answer that the model can read; those too long for it are named in a note."""
    config = run.config(ScoreConfig)
    torch.set_float32_matmul_precision(config.matmul_precision)
    model = RewardModel.load(run.input("reward")).to(run.spec.device)
    if use_bfloat16(run, "precision", config.precision):
        model.autocast_dtype = torch.bfloat16
    found = read_answers(run.input("groups"), model.tokenizer)
    asked = _leave_out_long(run, model, found)
    scored: list[Scored] = []
    for batch in batches(asked, config.tokens_per_forward):
        run.progress("score", len(scored), len(asked), "answers")
        if run.cancelled():
            return Outcome(status="cancelled")
        scored += _score(model, batch)
    run.progress("score", len(scored), len(asked), "answers")
    path = run.artifact_path("scores.jsonl")
    path.write_text("".join(json.dumps(each._asdict(), allow_nan=False) + "\n" for each in scored), encoding="utf-8")
    return Outcome(metrics=_summary(scored, len(found) - len(scored)), artifacts={"scores": path})


def read_answers(path: Path, tokenizer: Tokenizer) -> list[Asked]:
    """The answers of a groups.jsonl, as training reads them; what people said of them plays no part.

    Raises:
        TrainingRefused: `bad_groups`, also where answers have no ids or share one.
    """
    groups = read_groups(path, tokenizer)
    asked = [Asked(answer.id, group.prompt, answer.tokens) for group in groups for answer in group.answers]
    ids = {each.completion for each in asked}
    if "" in ids or len(ids) < len(asked):
        message = f"The {len(asked)} answers to score have {len(ids - {''})} ids; each needs one of its own."
        raise TrainingRefused(message, code="bad_groups")
    return asked


def batches(asked: Sequence[Asked], tokens_per_forward: int) -> Iterator[list[Asked]]:
    """The answers in their order, cut so that each part packs into at most so many tokens, or is a single answer."""
    batch: list[Asked] = []
    tokens = 0
    for each in asked:
        more = len(each.tokens) if batch and batch[-1].prompt == each.prompt else each.num_tokens
        if batch and tokens + more > tokens_per_forward:
            yield batch
            batch, tokens, more = [], 0, each.num_tokens
        batch.append(each)
        tokens += more
    if batch:
        yield batch


@torch.no_grad()
def _score(model: RewardModel, batch: Sequence[Asked]) -> list[Scored]:
    members = model.members(by_prompt([each.prompt for each in batch], [each.tokens for each in batch]))
    members = members.double().cpu()
    bad = [each.completion for each, ok in zip(batch, members.isfinite().all(dim=1).tolist(), strict=True) if not ok]
    if bad:
        message = f"The reward model gives the answer {bad[0]} a score that is not finite; score with another version."
        raise TrainingRefused(message, code="not_finite")
    scores = members.mean(dim=1).tolist()
    spreads = members.std(dim=1).tolist() if model.num_heads > 1 else [None] * len(batch)
    return [
        Scored(each.completion, score, spread, len(each.tokens))
        for each, score, spread in zip(batch, scores, spreads, strict=True)
    ]


def _leave_out_long(run: RunDirectory, model: RewardModel, found: Sequence[Asked]) -> list[Asked]:
    """The answers that the model has positions for; the run is told of the others. Raises `nothing_to_score`."""
    limit = getattr(model.backbone.config, "max_position_embeddings", None)
    long = [each.completion for each in found if limit is not None and each.num_tokens > limit]
    if len(long) == len(found):
        message = f"None of the {len(found)} answers fits the {limit} tokens, prompt included, that this model reads."
        raise TrainingRefused(f"{message} Score them with another version.", code="nothing_to_score")
    if long:
        more = f" and {len(long) - SHOWN_LEFT_OUT} more" if len(long) > SHOWN_LEFT_OUT else ""
        message = (
            f"{len(long)} of {len(found)} answers are longer with their prompt than the {limit} tokens that the reward "
            f"model reads and were left out: {', '.join(long[:SHOWN_LEFT_OUT])}{more}."
        )
        run.note("answers_left_out", message, level="warning")
    left_out = set(long)
    return [each for each in found if each.completion not in left_out]


def _summary(scored: Sequence[Scored], num_left_out: int) -> dict[str, float | None]:
    scores = [each.score for each in scored]
    spreads = [each.spread for each in scored if each.spread is not None]
    return {
        "num_scored": len(scored),
        "num_left_out_answers": num_left_out,
        "score_mean": fmean(scores),
        "score_std": stdev(scores) if len(scores) > 1 else None,
        **({"spread_mean": fmean(spreads)} if spreads else {}),
    }
