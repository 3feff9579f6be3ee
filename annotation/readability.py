"""What a reader can see in a short English text: sentences, topic, repetition, litter. Crude on purpose, and quick.

Every function reads the text alone. Words are in lower case, stems have at most six letters, shares lie in [0, 1].
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# Words that carry grammar rather than a topic.
FUNCTION_TEXT = """
    a about above after again all also am an and any are as at be because been before being below between both but
    by can could did do does doing down during each either else even ever every few for from further had has have
    having he her here hers him his how however i if in into is it its itself just like many may me might more most
    much must my no nor not of off often on once only or other our out over own per same shall she should since so
    some such than that the their them then there these they this those through to together too under until up us
    very was we were what when where whether which while who whom whose why will with within without would yet you
    your"""
FUNCTION_WORDS = frozenset(FUNCTION_TEXT.split())
# Words with which a prompt asks; an answer need not repeat them.
ASKING_TEXT = """
    answer ask begin best better brief briefly child children choose define definition describe differ difference
    different easy effort enjoy example explain fact few first give good happen help idea important interesting keep
    know known let line little look main make mean meaning name need new note nutshell one opening people person
    plain please polite politely question quick reason reply roughly say scene sentence set share short simple
    simply single something start state story suggest surprising tale tell thing tiny tip two use used useful way
    word write yes"""
ASKING_WORDS = frozenset(ASKING_TEXT.split())
CONTRACTION = re.compile(r"(?:n['’]t|['’](?:s|re|ve|ll|d|m))$")
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|\d+(?:[.,]\d+)*")
SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]*$")
INNER_SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]*(?=\s|$)")
SENTENCE_START = re.compile(r"(?:^|[.!?…:\n])[\s\"'“”‘’()\[*#-]*$")
LIST_NUMBER_END = re.compile(r"(?:^|\s)\d{1,2}[.)]$")
LITTER = (
    re.compile(r"^\s*(?:\d{1,2}[.)]|[-*•–])\s", re.MULTILINE),  # list items
    re.compile(r"^\s*#|\*\*|`|<[a-z/][^>]*>", re.MULTILINE | re.IGNORECASE),  # markup
    re.compile(r"\b(?:as an ai|ai (?:assistant|model)|language model|smollm|hugging face)\b", re.IGNORECASE),
    # placeholders and roles
    re.compile(r"\[[^\]]*\]|^\s*(?:user|assistant|subject|answer)\s*:", re.MULTILINE | re.IGNORECASE),
    re.compile(r"^\s*(?:sure|certainly|of course|absolutely|here(?:'s| is| are))\b", re.IGNORECASE),  # preamble
)
SUFFIXES = ("ation", "ing", "ies", "ied", "ion", "ers", "est", "ly", "ed", "es", "er", "s", "e", "y")
STEM_LETTERS = 6
LONG_WORD_LETTERS = 10
EASY_CAPITALS = frozenset(("I", "I'm", "I've", "I'll", "I'd", "I’m", "I’ve", "I’ll", "I’d"))


def words_of(text: str) -> list[str]:
    """Return the words and numbers of a text, in lower case."""
    return WORD.findall(text.lower())


def stem(word: str) -> str:
    """Return a crude stem: one usual ending off, at most six letters, so that *freeze*, *freezing*, *freezes* meet."""
    word = CONTRACTION.sub("", word)
    for suffix in SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            word = word[: -len(suffix)]
            break
    if len(word) > 3 and word[-1] == word[-2]:
        word = word[:-1]
    return word[:STEM_LETTERS]


def content_stems(words: Iterable[str], *, without: frozenset[str] = frozenset()) -> frozenset[str]:
    """Return the stems of the words that carry a topic."""
    plain = (CONTRACTION.sub("", word) for word in words)
    return frozenset(
        stem(word) for word in plain if len(word) > 1 and word not in FUNCTION_WORDS and word not in without
    )


def is_finished(text: str) -> bool:
    """True where a text ends as a finished sentence."""
    text = text.rstrip()
    return bool(SENTENCE_END.search(text)) and not LIST_NUMBER_END.search(text) and len(words_of(text)) >= 3


def finished_share(text: str) -> float:
    """Return 1 for a text that ends as a finished sentence, else 0.3 × its share of words in finished sentences."""
    if is_finished(text):
        return 1.0
    ends = [end.end() for end in INNER_SENTENCE_END.finditer(text) if is_finished(text[: end.end()])]
    return 0.3 * len(words_of(text[: ends[-1]])) / len(words_of(text)) if ends else 0.0


def hard_share(text: str, known: frozenset[str]) -> float:
    """Return the share of words that are hard to read; words whose stem is `known` are easy."""
    words = list(WORD.finditer(text))
    hard = sum(
        is_hard(found[0], text[max(0, found.start() - 8) : found.start()])
        for found in words
        if stem(found[0].lower()) not in known
    )
    return hard / len(words) if words else 0.0


def is_hard(word: str, before: str) -> bool:
    """True for a long word, a number, a name or made-up word: a capital that no sentence start `before` explains."""
    named = word[0].isupper() and word not in EASY_CAPITALS and SENTENCE_START.search(before) is None
    return word[0].isdigit() or len(word) >= LONG_WORD_LETTERS or named


def plateau(value: float, corners: tuple[float, float, float, float]) -> float:
    """Return 0 up to the first corner, 1 between the second and the third, 0 from the fourth on, linear between."""
    zero, low, high, far = corners
    return min(1.0, max(0.0, min((value - zero) / (low - zero), (far - value) / (far - high))))


def repeated_share(words: Sequence[str]) -> float:
    """Return the share of word trigrams that occurred before in the same text."""
    runs = list(zip(words, words[1:], words[2:], strict=False))
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def function_share(words: Sequence[str]) -> float:
    """Return the share of function words."""
    return sum(CONTRACTION.sub("", word) in FUNCTION_WORDS for word in words) / len(words) if words else 0.0


def litter_kinds(text: str) -> int:
    """Return how many kinds of `LITTER` a text holds."""
    return sum(bool(kind.search(text)) for kind in LITTER)


def unrankable_reason(answer: str) -> str:
    """Return `empty` or `gibberish` for an answer that nobody can place, else an empty string."""
    visible = [c for c in answer if not c.isspace()]
    if not visible:
        return "empty"
    letters = sum(c.isalpha() for c in visible)
    words = words_of(answer)
    wordless = letters < len(visible) / 2 or "\ufffd" in answer
    return "gibberish" if wordless or (len(words) >= 8 and function_share(words) == 0) else ""
