"""The plain chat template writes what `encode_prompt` encodes for a model that has no template."""

from __future__ import annotations

from pathlib import Path

import pytest

from reward.training.chat import PLAIN_CHAT_TEMPLATE
from reward.training.language_model import encode_prompt, load_tokenizer
from tests.tiny import build_tiny_model

USER = {"role": "user", "content": "Why is the sky blue?"}
TURNS = {
    "one message": [USER],
    "system": [{"role": "system", "content": "Be kind."}, USER],
    "several turns": [USER, {"role": "assistant", "content": "Air."}, {"role": "user", "content": "And the sea?"}],
}


@pytest.mark.parametrize("turns", TURNS.values(), ids=TURNS)
@pytest.mark.parametrize("has_bos", [True, False])
def test_template_and_encoding_agree(tmp_path: Path, turns: list[dict[str, str]], has_bos: bool) -> None:
    tokenizer = load_tokenizer(build_tiny_model(tmp_path, chat_template=False))
    if not has_bos:
        tokenizer.hf.bos_token, tokenizer.bos_id = None, None
    expected = encode_prompt(tokenizer, turns)
    answer = {"role": "assistant", "content": "Because."}

    tokenizer.hf.chat_template = PLAIN_CHAT_TEMPLATE

    assert encode_prompt(tokenizer, turns) == expected
    whole = tokenizer.hf.apply_chat_template([*turns, answer], tokenize=True, return_dict=False)
    assert whole == [*expected, *tokenizer.encode("Because."), tokenizer.eos_id]
