"""Weights in a mapped file: the same numbers, no memory between readings, nothing left behind."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from torch import nn

from policy.training.mapped import ALIGNMENT, MappedWeights
from policy.training.tests.conftest import build_llama

MIB = 2**20


def resident_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_mapped_weights_are_the_same_bit_for_bit_again_and_again(dtype: torch.dtype, tmp_path: Path) -> None:
    model: Any = build_llama(tied=True)
    model.to(dtype)
    ids = torch.randint(0, 20, (2, 7))
    before = model(ids).logits.detach()

    mapped = MappedWeights(model, tmp_path)

    for _ in range(3):
        assert torch.equal(model(ids).logits, before)
        mapped.let_go()
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert not any(p.requires_grad or p.data_ptr() % ALIGNMENT for p in model.parameters())


def test_mapped_weights_take_memory_only_from_a_reading_to_the_next_letting_go(tmp_path: Path) -> None:
    linear = nn.Linear(4096, 4096, bias=False)
    mapped = MappedWeights(linear, tmp_path)
    mapped.let_go()

    empty = resident_bytes()
    total = float(linear.weight.sum())
    read = resident_bytes()
    mapped.let_go()

    assert read - empty > 60 * MIB
    assert resident_bytes() - empty < 4 * MIB
    assert float(linear.weight.sum()) == total


def test_the_file_has_no_name_and_a_module_without_weights_needs_none(tmp_path: Path) -> None:
    mapped = MappedWeights(nn.Linear(3, 3), tmp_path)
    MappedWeights(nn.ModuleDict(), tmp_path).let_go()

    assert list(tmp_path.iterdir()) == []
    mapped.let_go()


def test_a_full_disk_leaves_the_module_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    linear = nn.Linear(64, 64)
    before = linear.weight.detach().clone()
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_folder: Path("/dev/full").open("w+b"))  # noqa: SIM115

    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        MappedWeights(linear, tmp_path)

    assert torch.equal(linear.weight, before)
    assert linear.weight.requires_grad
