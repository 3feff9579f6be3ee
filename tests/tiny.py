"""Builders of a tiny random Llama and its byte-level BPE tokenizer: whole loops in seconds, nothing downloaded."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

DEVICE = os.environ.get("TEST_DEVICE", "cpu")
"""What run directories of tests name as their device; `benchmarks/gpu.sh runs` says cuda."""

SENTENCES = (
    "The plumb line hangs still and shows what is upright.",
    "People rank the answers, and the model learns from them.",
    "Name three colours that you can see in a garden.",
    "Why is the sky blue? Because air scatters blue light most.",
)
WORDS = (
    "a an and as at be but by can day for from go good had has in is it light like long made may new no "
    "not of old on one or over rain sea see sky slow small so still sun that the them then they this to "
    "tree two under up was water we what when white wind with you ."
)
SPECIALS = {"pad": "<|pad|>", "bos": "<|begin|>", "eos": "<|end|>"}
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def build_tiny_model(
    path: str | Path,
    *,
    seed: int = 0,
    vocab_size: int = 262,
    hidden_size: int = 64,
    layers: int = 2,
    initializer_range: float = 0.02,
    chat_template: bool = True,
    words: bool = False,
) -> Path:
    """Write a model directory (float32 safetensors, tokenizer, plumbline.json) to `path` and return it.

    Every byte is a token, so any text can be encoded; bos, eos and pad are three different tokens; vocab_size >= 259.
    With `words` the tokens are `WORDS` instead: what the model writes is nonsense, but made of words.
    """
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    backend = _words_backend() if words else _bytes_backend(vocab_size)
    tokenizer = _tokenizer(backend, chat_template=chat_template)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=initializer_range,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        LlamaForCausalLM(config).save_pretrained(str(path))
    tokenizer.save_pretrained(str(path))
    meta = {"format": 1, "kind": "policy", "base": "tiny random Llama", "licence": "Apache-2.0", "source_uri": "tiny"}
    (path / "plumbline.json").write_text(json.dumps(meta))
    return path


def _words_backend() -> Tokenizer:
    vocabulary = {word: index for index, word in enumerate([*SPECIALS.values(), "<|unknown|>", *WORDS.split()])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<|unknown|>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return backend


def _bytes_backend(vocab_size: int) -> Tokenizer:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIALS.values()),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(SENTENCES, trainer)
    return backend


def _tokenizer(backend: Tokenizer, *, chat_template: bool) -> PreTrainedTokenizerFast:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=SPECIALS["pad"],
        bos_token=SPECIALS["bos"],
        eos_token=SPECIALS["eos"],
    )
    if chat_template:
        tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
