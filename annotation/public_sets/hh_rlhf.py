"""HH-RLHF: two continuations of a conversation, one of which somebody chose.

Source: github.com/anthropics/hh-rlhf, harmless-base/test.jsonl.gz (MIT; offensive by design). Both transcripts are cut
into turns: those that they share up to a human's are the prompt, what follows is the answer. In a few the answer runs
over several turns, with the roles' names inside; it is kept so and counted. The chosen one stands first upstream; here
the order says nothing. Conversations that open with the same words are one cluster.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from annotation.public_sets.reading import (
    PublicLine,
    Reading,
    Row,
    Unusable,
    answer,
    find_file,
    in_hash_order,
    pair_ranks,
    read_rows,
    text_in,
)

FILE = "test.jsonl"
ROLES = {"Human": "user", "Assistant": "assistant"}
TURN = re.compile(r"\n\n(Human|Assistant):")


class Turn(NamedTuple):
    role: str
    text: str


def read(folder: Path) -> Reading:
    return read_rows(find_file(folder, FILE), to_lines)


def to_lines(row: Row, reading: Reading) -> Iterator[PublicLine]:
    transcripts = [_turns(text_in(row, key)) for key in ("chosen", "rejected")]
    num_shared = _num_shared(*transcripts)
    shared = transcripts[0][:num_shared]
    prompt = [{"role": ROLES[turn.role], "content": turn.text.strip()} for turn in shared]
    if not all(message["content"] for message in prompt):
        raise Unusable("a turn has no text")
    texts = [_answer(turns[num_shared:], reading) for turns in transcripts]
    order = in_hash_order(texts)
    ranking = {"labeler": "hh-rlhf", "ranks": pair_ranks(1 if order[0] == 0 else -1)}
    answers = [answer(texts[i], source="hh-rlhf", reading=reading) for i in order]
    yield PublicLine(
        {"prompt": prompt, "completions": answers, "rankings": [ranking]}, cluster=prompt[0]["content"].lower()
    )


def _turns(transcript: str) -> list[Turn]:
    before, *pieces = TURN.split(transcript)
    if before.strip() or not pieces:
        raise Unusable("a transcript does not begin with a turn")
    return [Turn(*turn) for turn in zip(pieces[::2], pieces[1::2], strict=True)]


def _num_shared(chosen: list[Turn], rejected: list[Turn]) -> int:
    """Turns that both have, up to a human's, so that each has an answer left over."""
    shared = 0
    for number, (one, other) in enumerate(zip(chosen[:-1], rejected[:-1], strict=False), start=1):
        if one != other:
            break
        if one.role == "Human":
            shared = number
    if not shared:
        raise Unusable("the transcripts share no human turn")
    if any(turns[shared].role == "Human" for turns in (chosen, rejected)):
        raise Unusable("the answer is a human's turn")
    return shared


def _answer(turns: list[Turn], reading: Reading) -> str:
    if len(turns) > 1:
        reading.repaired["answer of several turns kept whole"] += 1
    first, *rest = turns
    return "".join([first.text, *(f"\n\n{turn.role}:{turn.text}" for turn in rest)]).strip()
