"""Refusals shared by the doors. Each sentence names both numbers. Masked slots are never looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def autocast_dtype(hidden: Tensor) -> torch.dtype | None:
    """The dtype autocast asks GEMMs to run in on hidden's device; None when it is off or hidden is float64."""
    device = hidden.device.type
    if hidden.dtype == torch.float64 or not torch.is_autocast_enabled(device):
        return None
    return torch.get_autocast_dtype(device)


def gemm_dtype(hidden: Tensor) -> torch.dtype:
    """What the operands of hidden's GEMMs are rounded to."""
    return autocast_dtype(hidden) or hidden.dtype


def same_shape(name: str, tensor: Tensor, like_name: str, like: Tensor) -> None:
    if tensor.shape != like.shape:
        raise ValueError(f"{name} has shape {tuple(tensor.shape)} but {like_name} has shape {tuple(like.shape)}")


def same_device(name: str, tensor: Tensor, like_name: str, like: Tensor) -> None:
    if tensor.device != like.device:
        raise ValueError(f"{name} is on {tensor.device} but {like_name} is on {like.device}")


def is_mask(name: str, mask: Tensor) -> None:
    if mask.dtype != torch.bool:
        raise ValueError(f"{name} has dtype {mask.dtype} but must be {torch.bool} (True takes part)")


def is_index(name: str, index: Tensor) -> None:
    if index.dtype != torch.int64 or index.dim() != 1:
        raise ValueError(f"{name} must be [P] {torch.int64}, got shape {tuple(index.shape)} {index.dtype}")


def within(name: str, index: Tensor, limit: int, what: str) -> None:
    """Every entry of index lies in 0..limit-1."""
    if index.numel() == 0:
        return
    low, high = int(index.min()), int(index.max())
    if low < 0 or high >= limit:
        raise ValueError(f"{name} spans {low}..{high} but must lie in 0..{limit - 1} ({what})")


def finite(name: str, values: Tensor) -> None:
    bad = values.numel() - int(torch.isfinite(values).sum())
    if bad:
        raise ValueError(f"{name} is not finite at {bad} of {values.numel()} positions that take part")


def positive(name: str, value: float) -> None:
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} ({value}) must be finite and greater than 0")


def one_number(name: str, value: float | Tensor) -> None:
    if isinstance(value, Tensor) and value.numel() != 1:
        raise ValueError(f"{name} must hold 1 number, got shape {tuple(value.shape)}")


def denominator(value: float | Tensor) -> None:
    one_number("denominator", value)
    positive("denominator", float(value))


def rows(mask: Tensor | None) -> Tensor | None:
    """The rows that take part ([N] int64), or None for all of them."""
    if mask is None or bool(mask.all()):
        return None
    return mask.nonzero().squeeze(1)


class Look:
    """Asks a device whether all is good and reads the answer later: meanwhile it goes on working.

    A device that is asked at once stands still until the host has given it something to do again.
    """

    def __init__(self, good: Sequence[Tensor], sentences: Callable[[], None]) -> None:
        """good: bool tensors; without any, all is good. sentences: raises what is wrong."""
        self.sentences = sentences
        self.answer: Tensor | None = torch.stack([each.all() for each in good]).all() if good else None
        self.ready = None
        if self.answer is not None and self.answer.device.type == "cuda":
            self.answer = self.answer.to("cpu", non_blocking=True)
            self.ready = torch.cuda.Event()
            self.ready.record()

    def refuse(self) -> None:
        """Wait for the answer, once, and raise where it is no."""
        if self.ready is not None:
            self.ready.synchronize()
        if self.answer is not None and not bool(self.answer):
            self.sentences()
        self.answer = None


def tokens(ids: Tensor, vocabulary: int, *, divisor: Tensor | None = None, **columns: Tensor | None) -> Look:
    """Ids lie in the vocabulary, columns are finite, the divisor is positive; all without masked slots. [N] each."""
    if not ids.numel():
        return Look([], lambda: None)
    given = {name: column for name, column in columns.items() if column is not None}
    good = [ids >= 0, ids < vocabulary, *(column.isfinite() for column in given.values())]
    if divisor is not None:
        good.append((divisor > 0) & divisor.isfinite())

    def sentences() -> None:
        within("ids", ids, vocabulary, f"weight holds {vocabulary} tokens")
        for name, column in given.items():
            finite(name, column)
        if divisor is not None:
            denominator(divisor)

    return Look(good, sentences)


def finite_later(name: str, values: Tensor) -> Look:
    """As `finite`, asked now and answered later."""
    return Look([values.isfinite()], lambda: finite(name, values))


def projection(
    hidden: Tensor, weight: Tensor, ids: Tensor, mask: Tensor | None, temperature: float, softcap: float | None
) -> None:
    """What both fused heads take, as far as shapes and dtypes tell; `rows` and `ids` look at values."""
    if hidden.dim() != 2 or weight.dim() != 2 or hidden.shape[1] != weight.shape[1]:
        raise ValueError(f"hidden {tuple(hidden.shape)} must be [T, D] and weight {tuple(weight.shape)} [V, D], same D")
    if weight.shape[0] == 0:
        raise ValueError("weight holds 0 tokens: a softmax needs one")
    if ids.shape != hidden.shape[:1] or ids.dtype != torch.int64:
        raise ValueError(
            f"ids must be [{hidden.shape[0]}] {torch.int64} like hidden's rows, got {tuple(ids.shape)} {ids.dtype}"
        )
    for name, tensor in (("weight", weight), ("ids", ids), ("mask", mask)):
        if tensor is not None:
            same_device(name, tensor, "hidden", hidden)
    if not (hidden.is_floating_point() and weight.is_floating_point()):
        raise ValueError(f"hidden ({hidden.dtype}) and weight ({weight.dtype}) must be floating point")
    if hidden.dtype != weight.dtype and autocast_dtype(hidden) is None:
        raise ValueError(f"hidden is {hidden.dtype} but weight is {weight.dtype}; cast one, or use autocast")
    positive("temperature", temperature)
    if softcap is not None:
        positive("softcap", softcap)
    if mask is not None:
        same_shape("mask", mask, "ids", ids)
        is_mask("mask", mask)
