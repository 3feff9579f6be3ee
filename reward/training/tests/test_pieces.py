"""Pieces of text: joined they are the answer, and no character is cut."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders

from reward.training.language_model import Tokenizer, decode, load_tokenizer
from reward.training.pieces import split_text
from tests.tiny import build_tiny_model

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30)


@pytest.fixture(scope="module")
def tokenizer(tiny: Path) -> Tokenizer:
    return load_tokenizer(tiny)


def texts(tokenizer: Tokenizer, ids: list[int], text: str) -> list[str]:
    starts = [0, *(piece.end for piece in split_text(tokenizer, ids, text))]
    return [text[start:end] for start, end in itertools.pairwise(starts)]


def test_a_character_of_several_bytes_is_one_piece(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("aé🙂b")
    assert len(ids) == 1 + 2 + 4 + 1

    pieces = split_text(tokenizer, [*ids, tokenizer.eos_id], "aé🙂b")

    assert [(piece.end, piece.last) for piece in pieces] == [(1, 1), (2, 3), (3, 7), (4, 9)]


@settings(max_examples=60, deadline=None)
@given(text=TEXT)
def test_pieces_joined_are_the_text_and_all_tokens(tokenizer: Tokenizer, text: str) -> None:
    ids = [*tokenizer.encode(text), tokenizer.eos_id]

    pieces = split_text(tokenizer, ids, text)

    assert "".join(texts(tokenizer, ids, text)) == text
    assert pieces[-1].last == len(ids)
    assert all(piece.end > 0 for piece in pieces)


def test_bytes_that_are_no_text_are_kept_as_they_were_stored(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("a🙂")[:3] + tokenizer.encode("b\0c")  # half a face, and a NUL
    stored = decode(tokenizer, ids).replace("\0", "\ufffd")

    assert "".join(texts(tokenizer, ids, stored)) == stored
    assert texts(tokenizer, ids, stored)[0] == "a"


def test_words_that_are_normalised_keep_the_text_as_it_was_written(tmp_path: Path) -> None:
    words = load_tokenizer(build_tiny_model(tmp_path / "words", words=True))
    text = "the  sea.\n"

    pieces = texts(words, [*words.encode(text), words.eos_id], text)

    assert decode(words, words.encode(text)) != text
    assert pieces == ["the", "  sea", ".\n"]


def test_half_a_character_that_decodes_to_several_signs_is_no_piece() -> None:
    """SentencePiece writes a sign for each byte of a character that is not whole yet."""
    decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    hf = SimpleNamespace(decode=lambda ids, **_: decoder.decode([f"<0x{byte:02X}>" for byte in ids]))
    text = "a🙂b"
    assert len(hf.decode(text.encode()[:4])) == 4

    pieces = split_text(cast(Tokenizer, SimpleNamespace(hf=hf)), list(text.encode()), text)

    assert [(piece.end, piece.last) for piece in pieces] == [(1, 1), (2, 5), (3, 6)]


def test_tokens_of_another_text_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="the answer's 2 tokens do not spell its text of 3 characters"):
        split_text(tokenizer, tokenizer.encode("ab"), "abc")
