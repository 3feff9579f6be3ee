"""What the machine under a training process can hold, and how fast it is: `python -m reward.training.machine OUT`.

Memory is read without torch. Speed is measured on decoders of two widths by the program, which loads torch.
"""

from __future__ import annotations

import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from reward.training.files import replace_json

MEMORY_VARIABLE = "RUN_MEMORY_MIB"
"""Memory that runs may take, where the operator knows better than the system."""
CGROUP = Path("/sys/fs/cgroup")
MEMORY_FILES = ("memory.max", "memory.limit_in_bytes")
SWAP_FILES = ("memory.swap.max", "memory.memsw.limit_in_bytes")
"""In version 1 memory and swap together: more than the swap alone, and nothing may be refused that could be had."""
UNLIMITED = 2**60
"""A version 1 control group without a limit names a number near 2**63."""

ROWS = (1, 8, 64, 512)
"""Tokens that go through a decoder at once: from decoding one answer to a small training batch."""
DECODERS = ((512, 1408, 16), (1536, 4096, 2))
"""(width, inner width, layers): weights larger than a CPU's caches, so that they are read from memory as in a run."""
ROUNDS = 3


def total_memory(device: str = "cpu") -> int:
    """Bytes that one process can have at most on `device`: RUN_MEMORY_MIB where that is set, else what there is.

    On a CPU that is the lower of the machine's memory and the control group's limit. A CUDA device is asked.
    """
    if stated := _stated_mib():
        return stated * 2**20
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.get_device_properties(device).total_memory)
    return min(psutil.virtual_memory().total, group_limit())


def swap_memory(device: str = "cpu") -> int:
    """Bytes that can be moved to disk: a run that needs them crawls, but is not killed."""
    if device != "cpu" or _stated_mib():
        return 0
    return min(int(psutil.swap_memory().total), group_limit(SWAP_FILES))


def _stated_mib() -> int:
    stated = os.environ.get(MEMORY_VARIABLE, "")
    return int(stated) if stated.isdecimal() else 0


def group_limit(
    files: tuple[str, str] = MEMORY_FILES, root: Path = CGROUP, own: Path = Path("/proc/self/cgroup")
) -> int:
    """Bytes that this process's control groups allow, in either version; UNLIMITED without a limit.

    Args:
        files: of version 2, and of version 1.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return UNLIMITED
    found = [UNLIMITED]
    for line in lines:
        _number, controllers, name = line.split(":", 2)
        if controllers not in ("", "memory") and "memory" not in controllers.split(","):
            continue
        base, file = (root, files[0]) if not controllers else (root / "memory", files[1])
        leaf = base / name.lstrip("/")
        # In a container the file system may begin at the group itself.
        found += [_limit(folder / file) for folder in (leaf, *leaf.parents, base) if folder.is_relative_to(base)]
    return min(found)


def _limit(path: Path) -> int:
    try:
        text = path.read_text().strip()
    except OSError:
        return UNLIMITED
    return int(text) if text.isdecimal() and int(text) < UNLIMITED else UNLIMITED


def processor() -> str:
    """The processor as the system names it."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.machine()


def measure(device: str, threads: int, known: Sequence[Any] | None = None) -> dict[str, Any]:
    """Everything that an estimate wants to know of this machine, as JSON values.

    `speeds` holds a list for each number format: {"rows", "matrices" (parameters of a layer), "seconds" (a layer,
    forward)}.

    Args:
        known: device, name, cores and threads for which speeds are at hand; where they are these, none are measured, so
            that all that was ever expected of a machine goes by the same ones.
    """
    name = processor() if device == "cpu" else _device_name(device)
    cores = len(os.sched_getaffinity(0))
    told = {"device": device, "name": name[:120], "cores": cores, "threads": threads}
    memory = {"memory_bytes": total_memory(device), "swap_bytes": swap_memory(device)}
    if known is not None and list(known) == list(told.values()):
        return {**told, **memory}
    return {**told, **memory, **_formats(device, threads)}


def _device_name(device: str) -> str:
    import torch

    return str(torch.cuda.get_device_name(device))


def _formats(device: str, threads: int) -> dict[str, Any]:
    """Which number formats the device multiplies itself, and how fast."""
    import torch

    from reward.training.precision import multiplies_bfloat16

    torch.set_num_threads(threads)
    formats = {"float32": torch.float32} | ({"bfloat16": torch.bfloat16} if multiplies_bfloat16(device) else {})
    return {
        "has_bfloat16": "bfloat16" in formats,
        "speeds": {name: _speeds(device, dtype) for name, dtype in formats.items()},
    }


def _speeds(device: str, dtype: Any) -> list[dict[str, float]]:
    found = []
    for width, inner, layers in DECODERS:
        model = _decoder(width, inner, layers).to(device=device, dtype=dtype)
        matrices = 4 * width * width + 3 * width * inner
        for rows in ROWS:
            seconds = _least_seconds(_pass(model, rows, device)) / layers
            found.append({"rows": rows, "matrices": matrices, "seconds": seconds})
    return found


def _decoder(width: int, inner: int, layers: int) -> Any:
    from transformers import LlamaConfig, LlamaModel

    config = LlamaConfig(
        vocab_size=8,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        num_key_value_heads=width // 64,
    )
    return LlamaModel(config).eval()


def _pass(model: Any, rows: int, device: str) -> Callable[[], None]:
    """One forward pass of `rows` tokens: apart, as when decoding, or up to 64 in a sequence, as in training."""
    import torch

    from gpu_ops import few_rows

    length = 64 if rows > 64 else 1
    ids = torch.zeros(rows // length, length, dtype=torch.int64, device=device)

    @torch.inference_mode()
    def once() -> None:
        with few_rows(model):
            model(input_ids=ids, use_cache=False)
        if ids.is_cuda:
            torch.cuda.synchronize(device)

    return once


def _least_seconds(once: Callable[[], None]) -> float:
    """Of a few rounds, after one that touches memory for the first time: what else runs meanwhile only adds to it."""
    once()
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        once()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    replace_json(Path(given["out"]), measure(given["device"], given["threads"], given["known"]))
