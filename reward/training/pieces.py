"""Which stretch of an answer's text each token wrote, so that figures per token can be shown on the text itself.

A character may take several tokens of bytes, and a token may add no text; such tokens share a piece with their
neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from reward.training.language_model import Tokenizer, decode

NUL, REPLACED = "\0", "\ufffd"
"""The database takes no NUL, so stored text has the other in its place."""


class Piece(NamedTuple):
    """A stretch of the text and the tokens that wrote it; `end` in characters and `last` in tokens, both exclusive."""

    end: int
    last: int


def split_text(tokenizer: Tokenizer, ids: Sequence[int], text: str) -> list[Piece]:
    """Cut `text` into the shortest pieces that whole tokens wrote. Joined they are the text, and all of `ids`.

    Raises:
        ValueError: the tokens do not spell the text.
    """
    ends = _ends_by_decoding(tokenizer, ids, text) or _ends_by_encoding(tokenizer, ids, text)
    if ends is None:
        raise ValueError(f"the answer's {len(ids)} tokens do not spell its text of {len(text)} characters")
    pieces: list[Piece] = []
    start = 0
    for last, end in enumerate(ends, start=1):
        if end is not None and end > start:
            pieces.append(Piece(end, last))
            start = end
        elif end == start and pieces:
            pieces[-1] = Piece(start, last)
    if not pieces:
        return [Piece(len(text), len(ids))]
    pieces[-1] = Piece(len(text), len(ids))
    return pieces


def _ends_by_decoding(tokenizer: Tokenizer, ids: Sequence[int], text: str) -> list[int | None] | None:
    """Where the text stands after each token; None inside a character. Of no use where decoding gives other text."""
    if _decoded(tokenizer, ids) != text:
        return None
    before = (_decoded(tokenizer, ids[:last]) for last in range(1, len(ids) + 1))
    return [len(prefix) if text.startswith(prefix) else None for prefix in before]


def _ends_by_encoding(tokenizer: Tokenizer, ids: Sequence[int], text: str) -> list[int | None] | None:
    """As above, from the tokenizer's own account of text that it normalises; the ids may go on with an EOS."""
    encoded = tokenizer.hf(
        text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True, verbose=False
    )
    if list(encoded["input_ids"]) != list(ids[: len(encoded["input_ids"])]):
        return None
    ends: list[int | None] = [end for _start, end in encoded["offset_mapping"]]
    return ends + [None] * (len(ids) - len(ends))


def _decoded(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    return decode(tokenizer, ids).replace(NUL, REPLACED)
