"""A snapshot's stated preferences in TRL's explicit-prompt conversational format, for `RewardTrainer` and `DPOTrainer`.

    {"prompt": [{"role", "content"}, …], "chosen": [{"role": "assistant", "content"}], "rejected": […], "margin": 0.75}

A line is one labeler's word on two answers. A tie has no chosen side: it is left out and counted. `margin` is the
stated strength (1 to 4) over 4, so 0.25 to 1, and 0 where none was stated; `RewardTrainer` takes it from the difference
of the two rewards, `DPOTrainer` does not read it.

A model without a chat template needs one for TRL: `reward.training.chat.PLAIN_CHAT_TEMPLATE` writes what we do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

MAX_STRENGTH = 4


class Tally(NamedTuple):
    """num_ties: words without a chosen side, which the lines lack."""

    num_preferences: int
    num_ties: int


def preferences(groups: Iterable[Mapping[str, Any]], *, split: str) -> Iterator[dict[str, Any]]:
    """The stated preferences on prompts of one split, in the order of the snapshot.

    Args:
        groups: the lines of groups.jsonl.
    """
    for group in groups:
        if group["split"] != split:
            continue
        prompt = [{"role": message["role"], "content": message["content"]} for message in group["messages"]]
        texts = [completion["text"] for completion in group["completions"]]
        for pair in group["pairs"]:
            if pair["outcome"] == 0:
                continue
            sides = (pair["first"], pair["second"])
            chosen, rejected = sides if pair["outcome"] > 0 else sides[::-1]
            yield {
                "prompt": prompt,
                "chosen": _answer(texts[chosen]),
                "rejected": _answer(texts[rejected]),
                "margin": (pair["strength"] or 0) / MAX_STRENGTH,
            }


def tally(groups: Iterable[Mapping[str, Any]], *, split: str) -> Tally:
    """How many lines `preferences` gives, and how many ties it leaves out."""
    outcomes = [pair["outcome"] for group in groups if group["split"] == split for pair in group["pairs"]]
    num_ties = outcomes.count(0)
    return Tally(len(outcomes) - num_ties, num_ties)


def as_lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """JSON lines, UTF-8."""
    return (json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def _answer(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]
