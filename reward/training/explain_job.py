"""The run kind `reward.explain`: a reward model and one answer in, explanation.json out.

    {"format": 1, "score": 0.81, "baseline_score": -0.35, "gap": 0.01, "relative_gap": 0.009, "num_steps": 32,
     "num_tokens": 4, "ends": [3, 9], "values": [0.4, 0.75]}

Piece i of the answer's text ends before character ends[i] and adds values[i] to the score. The text itself is not in
the file: who may read it reads it where it is kept, and an erased answer is erased here too.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from reward.training.config import ExplainConfig
from reward.training.explain import Explanation, explain
from reward.training.files import replace_json
from reward.training.groups import Group, read_group
from reward.training.language_model import Tokenizer
from reward.training.pieces import Piece, split_text
from reward.training.reward_model import RewardModel
from reward.training.rundir import Outcome, RunDirectory, TrainingRefused


class _Cancelled(Exception):
    """The run was cancelled between two forward passes."""


def explain_answer(run: RunDirectory) -> Outcome:
    """Spread the answer's score over the pieces of its text."""
    config = run.config(ExplainConfig)
    model = RewardModel.load(run.input("reward")).to(run.spec.device)
    group, pieces = read_answer(run.input("answer"), model.tokenizer)
    _refuse_too_long(model, group)
    try:
        found = _refine(run, model, group, config)
    except _Cancelled:
        return Outcome(status="cancelled")
    path = run.artifact_path("explanation.json")
    replace_json(path, payload(found, pieces))
    metrics = {
        "score": found.score,
        "baseline_score": found.baseline_score,
        "completeness_gap_share": found.relative_gap,
        "num_points": found.num_steps,
        "num_answer_tokens": len(found.attributions),
    }
    return Outcome(metrics=metrics, artifacts={"explanation": path})


def read_answer(path: Path, tokenizer: Tokenizer) -> tuple[Group, list[Piece]]:
    """A line of groups.jsonl with one answer, as training reads it, and its text in pieces.

    Raises:
        TrainingRefused: `bad_answer`.
    """
    try:
        line = json.loads(path.read_text("utf-8"))
        group = read_group(line, tokenizer)
        return group, split_text(tokenizer, group.answers[0].tokens, line["completions"][0]["text"])
    except ValueError as error:
        raise TrainingRefused(f"This answer cannot be explained: {error}.", code="bad_answer") from None


def payload(found: Explanation, pieces: list[Piece]) -> dict[str, Any]:
    """What is written: the attributions of each piece's tokens added up."""
    starts = [0, *(piece.last for piece in pieces)]
    values = [float(found.attributions[start : piece.last].sum()) for start, piece in zip(starts, pieces, strict=False)]
    return {
        "format": 1,
        "score": found.score,
        "baseline_score": found.baseline_score,
        "gap": found.gap,
        "relative_gap": found.relative_gap,
        "num_steps": found.num_steps,
        "num_tokens": len(found.attributions),
        "ends": [piece.end for piece in pieces],
        "values": values,
    }


def _refine(run: RunDirectory, model: RewardModel, group: Group, config: ExplainConfig) -> Explanation:
    """Double the points until the attributions add up, or until there are enough of them."""
    steps = config.steps
    while True:
        found = _explain(run, model, group, steps, config.steps_per_forward)
        gap = found.relative_gap
        if gap is None or gap <= config.tolerance or 2 * steps > config.max_steps:
            return found
        steps *= 2


def _explain(run: RunDirectory, model: RewardModel, group: Group, steps: int, steps_per_forward: int) -> Explanation:
    def tick(done: int) -> None:
        run.progress("explain", done, steps, "points")
        if run.cancelled():
            raise _Cancelled

    answer = group.answers[0].tokens
    found = explain(model, group.prompt, answer, steps=steps, steps_per_forward=steps_per_forward, tick=tick)
    if not math.isfinite(found.gap):
        message = "The reward model gives this answer a score that is not finite; explain it with another version."
        raise TrainingRefused(message, code="not_finite")
    return found


def _refuse_too_long(model: RewardModel, group: Group) -> None:
    tokens = len(group.prompt) + len(group.answers[0].tokens)
    positions = getattr(model.backbone.config, "max_position_embeddings", tokens)
    if tokens > positions:
        message = f"The prompt with its answer has {tokens} tokens, but the reward model reads at most {positions}."
        raise TrainingRefused(message, code="answer_too_long")
