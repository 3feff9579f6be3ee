"""Answers that are nearly the same: people should not be asked which is better. Pure, no database.

Two texts are nearly the same where they are equal but for case, spaces and the form of their characters, or where
their sequences of five tokens overlap by at least `THRESHOLD` (Jaccard: shared over all different ones; w-shingling,
Broder 1997) and they name the same numbers. At 0.9 one changed word is tolerated from about 100 words on; a number
never, because an answer may hang on it.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

NUM_TOKENS = 5
THRESHOLD = 0.9
TOKEN = re.compile(
    # Scripts without spaces between words, a character each: Thai to Myanmar, Khmer, Japanese, Chinese.
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]|\w+|[^\w\s]"
)
NUMBER = re.compile(r"\d+")

T = TypeVar("T")


class Signature(NamedTuple):
    """What of a text is compared."""

    tokens: tuple[str, ...]
    shingles: frozenset[tuple[str, ...]]
    numbers: Counter[str]


def signature(text: str) -> Signature:
    plain = unicodedata.normalize("NFKC", text).casefold()
    tokens = tuple(TOKEN.findall(plain))
    shingles = frozenset(tokens[start : start + NUM_TOKENS] for start in range(len(tokens) - NUM_TOKENS + 1))
    return Signature(tokens, shingles, Counter(NUMBER.findall(plain)))


def are_near(first: Signature, second: Signature) -> bool:
    """Whether two texts are nearly the same."""
    if first.tokens == second.tokens:
        return True
    if first.numbers != second.numbers or not first.shingles or not second.shingles:
        return False
    shared = len(first.shingles & second.shingles)
    return shared >= THRESHOLD * (len(first.shingles) + len(second.shingles) - shared)


def distinct(answers: Iterable[T], *, text: Callable[[T], str]) -> list[T]:
    """The answers without those that are nearly the same as one before them."""
    kept: list[tuple[T, Signature]] = []
    for answer in answers:
        own = signature(text(answer))
        if not any(are_near(own, other) for _kept, other in kept):
            kept.append((answer, own))
    return [answer for answer, _own in kept]
