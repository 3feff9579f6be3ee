"""What stayed, went and came between two texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.word_diff import MAX_WORK, Piece, _too_common, word_diff

WORDS = st.lists(st.sampled_from(["a", "wall", "stands", ".", "\n", "straight", "<b>", "壁は", "don't"]), max_size=30)


def test_a_word_that_changed_is_told_and_the_rest_stays() -> None:
    assert word_diff("The wall is thick.\nIt stands.", "The wall is straight.\nIt stands!") == (
        Piece("same", "The wall is "),
        Piece("del", "thick"),
        Piece("ins", "straight"),
        Piece("same", ".\nIt stands"),
        Piece("del", "."),
        Piece("ins", "!"),
    )


def test_a_word_that_stays_by_chance_does_not_cut_a_change_in_two() -> None:
    before, after = "One two three a four five six", "Uno dos tres a cuatro cinco seis"

    assert word_diff(before, after) == (Piece("del", before), Piece("ins", after))


def test_scripts_without_spaces_are_compared_by_character() -> None:
    assert word_diff("壁は赤い", "壁は青い") == (
        Piece("same", "壁は"),
        Piece("del", "赤"),
        Piece("ins", "青"),
        Piece("same", "い"),
    )


@given(WORDS, WORDS)
def test_both_texts_can_be_read_from_the_pieces(old: list[str], new: list[str]) -> None:
    before, after = " ".join(old), " ".join(new)

    pieces = word_diff(before, after)

    assert pieces is not None
    read = ["".join(piece.text for piece in pieces if piece.tag != tag).split() for tag in ("ins", "del")]
    assert ["".join(words) for words in read] == ["".join(text.split()) for text in (before, after)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["p"] * 1000, ["p", "q"] * 500),
        (["p", "q"] * 500, ["p"] * 1000),
        ([str(n // 2) for n in range(1300)], [str(n // 2) if n % 2 else "q" for n in range(1300)]),
    ],
)
def test_what_a_hostile_text_can_cost_is_bounded(old: list[str], new: list[str]) -> None:
    common = _too_common(old, new)

    assert common
    pairs = sum(old.count(word) * new.count(word) for word in set(old) - common)
    assert (pairs + max(len(old), len(new))) * min(len(old), len(new)) <= MAX_WORK
    assert word_diff(" ".join(old), " ".join(new)) is not None


def test_texts_that_are_too_long_are_not_compared() -> None:
    assert word_diff("wall " * 2000, "stone " * 2000) is None
    assert word_diff("wall " * 20_000, "stone") is not None
