"""Open-Assistant's conversation trees: the replies to a message in the order that many rankings agreed on.

Source: github.com/LAION-AI/Open-Assistant, ranked groups of en_100_tree.jsonl (Apache-2.0). A tree is a cluster: deeper
groups hold the replies of higher ones in their history. Replies are listed best first upstream; here their order says
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotation.answers import MAX_ANSWERS, MIN_ANSWERS
from annotation.public_sets.reading import (
    PublicLine,
    Reading,
    Row,
    Unusable,
    answer,
    find_file,
    in_hash_order,
    list_in,
    read_rows,
    text_in,
)

FILE = "ranked_groups.jsonl"
ROLES = {"prompter": "user", "assistant": "assistant"}


def read(folder: Path) -> Reading:
    return read_rows(find_file(folder, FILE), to_lines)


def to_lines(row: Row, reading: Reading) -> Iterator[PublicLine]:
    tree = text_in(row, "tree")
    prompt = [_message(turn) for turn in list_in(row, "history")]
    if not prompt or prompt[-1]["role"] != "user":
        raise Unusable("the conversation does not end with the user")
    replies = list_in(row, "replies")
    if not MIN_ANSWERS <= len(replies) <= MAX_ANSWERS:
        raise Unusable("a task cannot have so many answers")
    if not all(isinstance(reply, dict) and type(reply.get("rank")) is int for reply in replies):
        raise Unusable("a reply has no rank")
    replies = [replies[i] for i in in_hash_order([str(reply.get("text")) for reply in replies])]
    ranking = {"labeler": "oasst-consensus", "ranks": [reply["rank"] - _best(replies) + 1 for reply in replies]}
    answers = [answer(reply.get("text"), source=_source(reply), reading=reading) for reply in replies]
    yield PublicLine({"prompt": prompt, "completions": answers, "rankings": [ranking]}, cluster=tree)


def _best(replies: list[Row]) -> int:
    return min(reply["rank"] for reply in replies)


def _message(turn: Any) -> Row:
    if not isinstance(turn, list) or len(turn) != 2 or not isinstance(turn[0], str) or turn[0] not in ROLES:
        raise Unusable("a turn is not [prompter | assistant, text]")
    if not isinstance(turn[1], str) or not turn[1].strip():
        raise Unusable("a turn has no text")
    return {"role": ROLES[turn[0]], "content": turn[1]}


def _source(reply: Row) -> str:
    return "model" if reply.get("synthetic") else "person"
