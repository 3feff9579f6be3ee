"""Language models and tokenizers on local disk: safetensors and JSON only, no code from a model directory.

Padding is never read from ids: masks come from lengths. Still the pad token is kept different from EOS, because other
software that reads a saved model does derive its masks from it, and an embedding's `padding_idx` gets no gradient.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jinja2.exceptions import TemplateError
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from reward.training.files import replace_json, sha256_of
from reward.training.rundir import TrainingRefused

PICKLES = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".h5", ".msgpack"})
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
PAD_CANDIDATE = "<|endoftext|>"
NEW_PAD = "<|pad|>"


class Tokenizer:
    """A fast tokenizer with the few things that training asks of it.

    Attributes:
        eos_id, pad_id, bos_id: token ids; pad_id differs from eos_id and may lie outside of the model's vocabulary, so
            it is never fed to a model.
        sha256: of tokenizer.json as it lies on disk; equal hashes mean that token ids can be passed on as they are.
    """

    def __init__(self, hf: PreTrainedTokenizerBase, folder: Path) -> None:
        if hf.eos_token_id is None:
            message = f"The tokenizer in {folder} names no EOS token; set eos_token in tokenizer_config.json."
            raise TrainingRefused(message, code="no_eos_token")
        self.hf = hf
        self.folder = folder
        self.sha256 = sha256_of(folder / "tokenizer.json")
        self.pad_was_fixed = ensure_pad_token(hf)
        self.eos_id = int(hf.eos_token_id)
        self.pad_id = int(hf.pad_token_id)
        self.bos_id = None if hf.bos_token_id is None else int(hf.bos_token_id)
        self._specials = [token.content for token in hf.added_tokens_decoder.values()]

    def encode(self, text: str) -> list[int]:
        """Ids of plain text: no BOS or EOS is added, and the text of a special token is text, not that token."""
        return list(self.hf.encode(text, add_special_tokens=False, split_special_tokens=True))

    def encode_template(self, text: str) -> list[int]:
        """Ids of text in which special tokens mean themselves, as a chat template writes them."""
        return list(self.hf.encode(text, add_special_tokens=False, split_special_tokens=False))

    def names_special(self, text: str) -> bool:
        """Whether `text` spells a special token."""
        return any(token in text for token in self._specials)


def load_tokenizer(path: str | Path) -> Tokenizer:
    """Read the tokenizer of a model directory. Raises TrainingRefused when it is not there or needs code to run."""
    path = Path(path)
    check_directory(path, weights=False)
    if not (path / "tokenizer.json").is_file():
        message = f"{path} holds no tokenizer.json; save the model together with its fast tokenizer."
        raise TrainingRefused(message, code="tokenizer_missing")
    try:
        hf = AutoTokenizer.from_pretrained(str(path), local_files_only=True, trust_remote_code=False, use_fast=True)
    except (OSError, ValueError, KeyError) as error:
        raise TrainingRefused(
            f"The tokenizer in {path} cannot be read: {error}.", code="tokenizer_unreadable"
        ) from error
    return Tokenizer(hf, path)


def load_policy(path: str | Path, *, dtype: torch.dtype = torch.float32) -> tuple[nn.Module, Tokenizer]:
    """Read a causal language model and its tokenizer from a model directory, in evaluation mode.

    Raises:
        TrainingRefused: `model_missing`, `pickled_weights`, `remote_code`, `model_unreadable`, `tokenizer_missing`, ...
    """
    tokenizer = load_tokenizer(path)
    model = read_weights(AutoModelForCausalLM, Path(path), dtype=dtype)
    use_pad_token(model, tokenizer)
    return model.eval(), tokenizer


def save_policy(
    model: nn.Module,
    tokenizer: Tokenizer,
    path: str | Path,
    *,
    meta: Mapping[str, Any],
    weights: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a model directory: weights, config, the tokenizer's files byte for byte, and `meta` as plumbline.json.

    weights: by the names of the model's state, where it does not hold them whole itself.
    """
    path = Path(path)
    model.save_pretrained(str(path), state_dict=weights, safe_serialization=True)  # type: ignore[operator]
    save_tokenizer(tokenizer, path)
    replace_json(path / "plumbline.json", {"format": 1, **meta})


def read_meta(path: str | Path) -> dict[str, Any]:
    """plumbline.json of a model directory, or an empty dict where there is none."""
    try:
        data = json.loads((Path(path) / "plumbline.json").read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise TrainingRefused(f"plumbline.json in {path} cannot be read: {error}.", code="model_unreadable") from None
    return dict(data)


def inherited(parent: Mapping[str, Any]) -> dict[str, Any]:
    """What a child's plumbline.json takes over from its parent's."""
    names = ("base", "licence", "source_uri", "template_tokens")
    return {name: parent[name] for name in names if name in parent}


def encode_prompt(tokenizer: Tokenizer, messages: Sequence[Mapping[str, str]]) -> list[int]:
    """Ids of a conversation up to where the answer starts: by the chat template, or BOS and the contents as plain text.

    A message that spells a special token (`<|im_end|>`) cannot end its own turn: contents are then encoded apart as
    plain text.
    """
    contents = [message["content"] for message in messages]
    if tokenizer.hf.chat_template is None:
        bos = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
        return bos + tokenizer.encode("\n\n".join(contents))
    if not any(map(tokenizer.names_special, contents)):
        return tokenizer.encode_template(_render(tokenizer, messages))
    marks = [f"\x01{index}\x02" for index in range(len(contents))]
    rendered = _render(tokenizer, [{**m, "content": mark} for m, mark in zip(messages, marks, strict=True)])
    ids: list[int] = []
    for mark, content in zip(marks, contents, strict=True):
        before, _, rendered = rendered.partition(mark)
        ids += tokenizer.encode_template(before) + tokenizer.encode(content)
    return ids + tokenizer.encode_template(rendered)


def template_tokens(tokenizer: Tokenizer) -> int:
    """Tokens that a conversation of one message has beside that message's own: what estimates of lengths go by."""
    word = "a"
    try:
        return len(encode_prompt(tokenizer, [{"role": "user", "content": word}])) - len(tokenizer.encode(word))
    except TrainingRefused:  # a template that wants more than one message
        return 0


def decode(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """Text of `ids` for people; special tokens are skipped, nothing is tidied."""
    text = tokenizer.hf.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return str(text)


def check_directory(path: Path, *, weights: bool = True) -> None:
    """Refuse what is not a model directory of safetensors and JSON: missing files, pickles, code to run."""
    if not (path / "config.json").is_file():
        message = f"There is no model at {path} (no config.json there); check the path or import the model first."
        raise TrainingRefused(message, code="model_missing")
    pickles = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.suffix.lower() in PICKLES)
    if pickles:
        message = f"{path} holds pickled weights ({pickles[0]}), which can run code; convert them to safetensors."
        raise TrainingRefused(message, code="pickled_weights")
    for name in ("config.json", "tokenizer_config.json"):
        _refuse_remote_code(path / name)
    if weights and not any(path.glob("*.safetensors")):
        raise TrainingRefused(
            f"{path} holds no .safetensors file; save the model as safetensors.", code="model_missing"
        )


def read_weights(loader: Any, path: Path, *, dtype: torch.dtype) -> Any:
    """`loader.from_pretrained` with everything remote or pickled switched off."""
    check_directory(path)
    safe = {"local_files_only": True, "trust_remote_code": False, "use_safetensors": True}
    try:
        model, info = loader.from_pretrained(str(path), dtype=dtype, output_loading_info=True, **safe)
    except Exception as error:  # safetensors, json and transformers each raise their own; all mean the same to a person
        message = f"The model in {path} cannot be read ({type(error).__name__}: {error}); import it again."
        raise TrainingRefused(message, code="model_unreadable") from error
    if info["missing_keys"]:  # transformers would fill them with random numbers and go on
        message = f"The model in {path} lacks weights ({sorted(info['missing_keys'])[0]} and others); import it again."
        raise TrainingRefused(message, code="model_unreadable")
    return model


def ensure_pad_token(hf: PreTrainedTokenizerBase) -> bool:
    """Give the tokenizer a pad token other than EOS; True when it had none.

    `<|endoftext|>` where it exists and is not EOS, else a new token, which may lie outside of the model's vocabulary.
    """
    if hf.pad_token_id is not None and hf.pad_token_id != hf.eos_token_id:
        return False
    if PAD_CANDIDATE in hf.get_vocab() and hf.convert_tokens_to_ids(PAD_CANDIDATE) != hf.eos_token_id:
        hf.pad_token = PAD_CANDIDATE
    else:
        hf.add_special_tokens({"pad_token": NEW_PAD})
    return True


def use_pad_token(model: nn.Module, tokenizer: Tokenizer) -> None:
    """Write the pad token into the model's configs, so that EOS is not the embedding's `padding_idx`."""
    embedding = model.get_input_embeddings()  # type: ignore[operator]
    pad_id = tokenizer.pad_id if tokenizer.pad_id < embedding.num_embeddings else None
    embedding.padding_idx = pad_id
    model.config.pad_token_id = pad_id  # type: ignore[union-attr]
    if getattr(model, "generation_config", None) is not None:
        model.generation_config.pad_token_id = pad_id  # type: ignore[union-attr]


def save_tokenizer(tokenizer: Tokenizer, path: Path) -> None:
    """Copy the tokenizer's files, so that its sha256 stays the same from checkpoint to checkpoint."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if tokenizer.pad_was_fixed:
        tokenizer.hf.save_pretrained(str(path))
        return
    for name in TOKENIZER_FILES:
        if (tokenizer.folder / name).is_file() and tokenizer.folder.resolve() != path.resolve():
            shutil.copyfile(tokenizer.folder / name, path / name)


def _render(tokenizer: Tokenizer, messages: Sequence[Mapping[str, str]]) -> str:
    plain = [dict(message) for message in messages]
    try:
        return str(tokenizer.hf.apply_chat_template(plain, tokenize=False, add_generation_prompt=True))
    except TemplateError as error:
        message = f"The model's chat template refuses these messages: {error}; use roles that it knows, in its order."
        raise TrainingRefused(message, code="chat_template") from error


def _refuse_remote_code(path: Path) -> None:
    if not path.is_file():
        return
    try:
        config = json.loads(path.read_text())
    except ValueError as error:
        raise TrainingRefused(f"{path} is not JSON: {error}.", code="model_unreadable") from None
    if isinstance(config, dict) and "auto_map" in config:
        message = f"{path} names code to run (auto_map); only models that transformers knows by itself are loaded."
        raise TrainingRefused(message, code="remote_code")
