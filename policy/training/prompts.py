"""prompts.jsonl as training reads it."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from torch import nn

from policy.training.config import PPOConfig
from policy.training.sample_config import SampleConfig
from reward.training.language_model import Tokenizer, encode_prompt
from reward.training.rundir import RunDirectory, TrainingRefused

SPLITS = ("train", "validation", "test")


class Prompt(NamedTuple):
    """A prompt with the token ids up to where its answer starts, and its text for people."""

    id: str
    split: str
    tokens: list[int]
    text: str


def load_prompts(
    run: RunDirectory, model: nn.Module, tokenizer: Tokenizer, config: PPOConfig | SampleConfig
) -> list[Prompt]:
    """Read and encode all prompts of the run, in their order. Prompt and answer must fit into the model's positions.

    Raises:
        TrainingRefused: a line that is not a prompt (`bad_prompts`), no prompt (`no_prompts`), one that is too long
            (`prompt_too_long`).
    """
    positions: int = model.config.max_position_embeddings  # type: ignore[union-attr, assignment]
    limit = min(config.max_prompt_tokens, positions - config.max_new_tokens)
    prompts = []
    with run.input("prompts").open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            prompt = _read(line, number, tokenizer)
            if len(prompt.tokens) > limit:
                message = (
                    f"Line {number} of the prompts has {len(prompt.tokens)} tokens, but at most {limit} fit; "
                    "shorten the prompt or raise max_prompt_tokens."
                )
                raise TrainingRefused(message, code="prompt_too_long")
            prompts.append(prompt)
    if not prompts:
        raise TrainingRefused("The file of prompts is empty; choose prompts first.", code="no_prompts")
    return prompts


def split_for_training(prompts: list[Prompt]) -> tuple[list[Prompt], list[Prompt]]:
    """Train and validation prompts. A test prompt must never be seen by training.

    Raises:
        TrainingRefused: a test prompt (`test_prompt`), or no prompt to train on (`no_prompts`).
    """
    leaked = [prompt.id for prompt in prompts if prompt.split == "test"]
    if leaked:
        message = (
            f"{len(leaked)} test prompts (first {leaked[0]}) are in the training input; "
            "they are kept for win rates only."
        )
        raise TrainingRefused(message, code="test_prompt")
    train = [prompt for prompt in prompts if prompt.split == "train"]
    if not train:
        raise TrainingRefused("There is no train prompt; add prompts of the train split.", code="no_prompts")
    return train, [prompt for prompt in prompts if prompt.split == "validation"]


def _read(line: str, number: int, tokenizer: Tokenizer) -> Prompt:
    try:
        row: Any = json.loads(line)
        prompt_id, split, messages = str(row["id"]), row["split"], row["messages"]
        if split not in SPLITS or not messages:
            raise ValueError(f"split is {split!r}" if messages else "it has no message")
        tokens = encode_prompt(tokenizer, messages)
        if not tokens:
            raise ValueError("it has no token")
        text = _for_people(messages)
    except (ValueError, KeyError, TypeError) as error:
        message = f"Line {number} of the prompts cannot be read ({error}); export the prompts again."
        raise TrainingRefused(message, code="bad_prompts") from None
    return Prompt(prompt_id, split, tokens, text)


def _for_people(messages: list[dict[str, str]]) -> str:
    """What was asked; with the roles where more than one message was."""
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in messages)
