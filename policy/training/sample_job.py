"""The run kind `policy.sample`: models and prompts in, completions.jsonl out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import torch
from torch import nn

from policy.training.prompts import Prompt, load_prompts
from policy.training.sample_config import SampleConfig
from policy.training.sampling import Answer, Draw, Request, SampleProgress, sample
from reward.training.language_model import Tokenizer, decode, load_policy
from reward.training.precision import use_bfloat16
from reward.training.rundir import Outcome, RunDirectory, TrainingRefused


class _Cancelled(Exception):
    """The run was cancelled between two batches."""


def sample_answers(run: RunDirectory) -> Outcome:
    """Draw per_prompt answers to every prompt from every model."""
    config = run.config(SampleConfig)
    torch.set_float32_matmul_precision(config.matmul_precision)
    names = sorted((n for n in run.spec.inputs if n.startswith("model_")), key=lambda n: int(n.removeprefix("model_")))
    if len(names) != len(config.sources) or not names:
        message = f"This run has {len(names)} models but names {len(config.sources)} sources; start it again."
        raise TrainingRefused(message, code="bad_config")
    path = run.artifact_path("completions.jsonl")
    dtype = torch.bfloat16 if use_bfloat16(run, "weights", config.weights) else torch.float32
    answers: list[Answer] = []
    try:
        with path.open("w", encoding="utf-8") as out:
            for index, name in enumerate(names):
                answers += _sample_model(run, config, run.input(name), index, dtype, out)
    except _Cancelled:
        path.unlink(missing_ok=True)
        return Outcome(status="cancelled")
    return Outcome(metrics=_summary(answers), artifacts={"completions": path})


def _sample_model(
    run: RunDirectory, config: SampleConfig, folder: Path, index: int, dtype: torch.dtype, out: IO[str]
) -> list[Answer]:
    model, tokenizer = load_policy(folder, dtype=dtype)
    model.to(run.spec.device)
    prompts = load_prompts(run, model, tokenizer, config)
    asked = [(prompt, sample_index) for prompt in prompts for sample_index in range(config.per_prompt)]
    found = _draw(run, config, model, tokenizer, asked, index)
    for (prompt, sample_index), answer in zip(asked, found, strict=True):
        row = {
            "prompt_id": prompt.id,
            "source": config.sources[index],
            "sample_index": sample_index,
            "text": decode(tokenizer, answer.token_ids),
            "token_ids": answer.token_ids,
            "finish_reason": answer.finish_reason,
            "tokenizer_sha256": tokenizer.sha256,
        }
        out.write(json.dumps(row) + "\n")
    return found


def _draw(
    run: RunDirectory,
    config: SampleConfig,
    model: nn.Module,
    tokenizer: Tokenizer,
    asked: Sequence[tuple[Prompt, int]],
    index: int,
) -> list[Answer]:
    done_before, total = index * len(asked), len(config.sources) * len(asked)

    def tell(progress: SampleProgress) -> None:
        run.progress("sample", done_before + progress.done, total, "answers")
        if run.cancelled():
            raise _Cancelled

    run.progress("sample", done_before, total, "answers")
    # By place, not by id: the same prompts and seed give the same answers in any database, and each model its own draw.
    requests = [Request(p.tokens, (run.spec.seed, "sample", index, place)) for place, (p, _) in enumerate(asked)]
    draw = Draw(
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        top_p=config.top_p,
        batch_size=config.batch_size,
    )
    return sample(model, requests, draw=draw, eos_id=tokenizer.eos_id, progress=tell)


def _summary(answers: Sequence[Answer]) -> dict[str, float | None]:
    return {
        "num_answers": len(answers),
        "response_tokens_mean": sum(len(a.token_ids) for a in answers) / len(answers),
        "finished_share": sum(a.finish_reason == "stop" for a in answers) / len(answers),
    }
