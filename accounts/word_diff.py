"""Two texts word by word: what stayed, what went, what came. They may be hostile: time is bounded whatever they say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from difflib import SequenceMatcher
from functools import lru_cache
from typing import NamedTuple

WORD = re.compile(r"([\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+|[^\w\s])(\s*)")
"""A word, a sign, or a character of a script without spaces; and the space behind it."""
MAX_WORK = 2_000_000
"""Comparisons of two words, at most: some tenths of a second."""


MIN_STAY = 3
"""Words and signs that must have stayed together to be told between two longer changes."""


class Piece(NamedTuple):
    """A run of words with the space behind them; tag: same, ins or del."""

    tag: str
    text: str


class Block(NamedTuple):
    """Words i to j of the old text, and k to m of the new one that are the same or stand in their place."""

    is_same: bool
    i: int
    j: int
    k: int
    m: int

    @property
    def size(self) -> int:
        return max(self.j - self.i, self.m - self.k)


@lru_cache(maxsize=128)
def word_diff(before: str, after: str) -> tuple[Piece, ...] | None:
    """Pieces that without `del` are `after` and without `ins` are `before`, spaces aside; None for what is too long."""
    old, new = WORD.findall(before), WORD.findall(after)
    old_words, new_words = ([word for word, _space in words] for words in (old, new))
    common = _too_common(old_words, new_words)
    if common is None:
        return None
    matcher = SequenceMatcher(common.__contains__, old_words, new_words, autojunk=False)
    pieces = []
    for block in _readable(Block(tag == "equal", *ends) for tag, *ends in matcher.get_opcodes()):
        gone, come = old[block.i : block.j], new[block.k : block.m]
        said = [("same", come)] if block.is_same else [("del", gone), ("ins", come)]
        pieces += [Piece(tag, _join(words)) for tag, words in said if words]
    return tuple(pieces)


def _readable(blocks: Iterable[Block]) -> list[Block]:
    """Without what is hardly a word that stayed between two longer changes: they read better as one."""
    kept: list[Block] = []
    for block in blocks:
        while not block.is_same and len(kept) > 1 and kept[-1].size < min(kept[-2].size, block.size, MIN_STAY):
            kept.pop()
            first = kept.pop()
            block = Block(False, first.i, block.j, first.k, block.m)
        kept.append(block)
    return kept


def _too_common(old: list[str], new: list[str]) -> set[str] | None:
    """Words that no match may begin with, for it to end in time; None where even without any it would not.

    SequenceMatcher looks at each word of a text and at all pairs of equal words, once for every match that it finds.
    """
    matches = min(len(old), len(new))
    allowed = MAX_WORK // max(1, matches) - max(len(old), len(new))
    if allowed < 0:
        return None
    counts, others = Counter(old), Counter(new)
    pairs = sorted((count * others[word], word) for word, count in counts.items() if word in others)
    for position, (found, _word) in enumerate(pairs):
        allowed -= found
        if allowed < 0:
            return {word for _found, word in pairs[position:]}
    return set()


def _join(words: list[tuple[str, str]]) -> str:
    return "".join(map("".join, words))
