"""Which number format "auto" means on the machine that a run finds itself on."""

from __future__ import annotations

import torch

from reward.training.rundir import RunDirectory


def multiplies_bfloat16(device: str) -> bool:
    """True where `device` multiplies bfloat16 itself: CUDA from compute capability 8, CPUs with AVX512-BF16 or AMX.

    Elsewhere PyTorch takes a scalar path: 0.3 against 158 GFLOP/s in float32, measured on two cores of an AMD EPYC
    (Zen 3). On other processors, ARM among them, the answer is False: float32 is never the wrong choice by much.
    """
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def use_bfloat16(run: RunDirectory, setting: str, choice: str) -> bool:
    """Whether `choice` (auto, float32, bfloat16 or bfloat16-autocast) of a setting means bfloat16 here; says so."""
    fast = multiplies_bfloat16(run.spec.device)
    if choice == "auto":
        why = "multiplies bfloat16 itself" if fast else "does not multiply bfloat16 itself, which makes float32 faster"
        message = f"{setting} is auto: {'bfloat16' if fast else 'float32'}, because this device {why}."
        run.note("precision_chosen", message)
        return fast
    wanted = choice.startswith("bfloat16")
    if wanted and not fast:
        message = f"{setting} is {choice}, but this device does not multiply bfloat16 itself: auto would be far faster."
        run.note("bfloat16_is_slow", message, level="warning")
    return wanted
