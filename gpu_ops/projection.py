"""One chunk of tokens against the whole vocabulary, forward and back: the GEMMs that both fused heads share.

T tokens, N tokens that take part, C tokens of one chunk, D hidden, V vocabulary.

    a = h W'        dh = da W        dW += da' h

What lies between a and da is `gpu_ops.rows`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gpu_ops import dispatch
from gpu_ops.rows import RowKernels, Softmax

CPU_CHUNK_ROWS = 512
CPU_TILE_COLUMNS = 1024  # of the logits at a time: a sixth faster than one float32 GEMM (MKL 2024.2, Zen 3)
DEVICE_CHUNK_BYTES = 2**30
DEVICE_CHUNK_ROWS = 4096  # at least, so that adding each chunk's share to dW costs little beside its GEMM


def chunk_rows(device: torch.device, vocabulary: int) -> int:
    """Rows of a chunk; it depends on nothing else, so a call with and without gradient runs the same GEMMs."""
    if device.type == "cpu":
        return CPU_CHUNK_ROWS
    return max(DEVICE_CHUNK_ROWS, DEVICE_CHUNK_BYTES // (6 * vocabulary))


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """The language-model head: weight [V, D] in the GEMMs' dtype, and what happens to logits before the softmax."""

    weight: Tensor
    softmax: Softmax
    kernels: RowKernels
    fast_float32: bool
    """Float32 GEMMs may round their operands to bfloat16; sums and results stay float32 (AMX, AVX512-BF16)."""

    @classmethod
    def of(cls, hidden: Tensor, weight: Tensor, softmax: Softmax, gemm_dtype: torch.dtype) -> Projection:
        """gemm_dtype: what operands are rounded to. A GEMM's result is float32 (float64 for float64) all the same."""
        on_cpu = hidden.device.type == "cpu"
        # A half-precision GEMM on the CPU rounds its result as well; this way logits keep float32's 24 bits.
        held = torch.promote_types(gemm_dtype, torch.float32) if on_cpu else gemm_dtype
        return cls(
            weight=weight.detach().to(held),
            softmax=softmax,
            kernels=dispatch.row_kernels(hidden.device, held),
            fast_float32=on_cpu and gemm_dtype == torch.bfloat16,
        )

    @property
    def accumulation_dtype(self) -> torch.dtype:
        return torch.promote_types(self.weight.dtype, torch.float32)

    @contextlib.contextmanager
    def precision(self) -> Iterator[None]:
        """Run GEMMs as this projection says: autocast must not change them a second time."""
        with torch.no_grad(), torch.autocast(self.weight.device.type, enabled=False):
            before = torch.get_float32_matmul_precision()
            try:
                if self.fast_float32:
                    torch.set_float32_matmul_precision("medium")
                yield
            finally:
                if self.fast_float32:
                    torch.set_float32_matmul_precision(before)

    def chunks(self, num_tokens: int) -> Iterator[slice]:
        step = chunk_rows(self.weight.device, self.weight.shape[0])
        for start in range(0, num_tokens, step):
            yield slice(start, min(start + step, num_tokens))

    def take(self, hidden: Tensor, rows: Tensor | None, chunk: slice) -> Tensor:
        """The chunk's hidden states [C, D] in the GEMMs' dtype; masked rows are never read."""
        taken = hidden[chunk] if rows is None else hidden.index_select(0, rows[chunk])
        return taken.to(self.weight.dtype)

    def logits(self, taken: Tensor) -> Tensor:
        """a [C, V] in the accumulation dtype; it lives until the next chunk's, in the same memory."""
        into = _workspace(taken.shape[0], self.weight.shape[0], self.accumulation_dtype, self.weight.device)
        if self.weight.device.type != "cpu" or self.fast_float32:
            return self.product(taken, self.weight.t(), into)
        for start in range(0, into.shape[1], CPU_TILE_COLUMNS):
            tile = slice(start, start + CPU_TILE_COLUMNS)
            self.product(taken, self.weight[tile].t(), into[:, tile])
        return into

    def product(self, left: Tensor, right: Tensor, into: Tensor) -> Tensor:
        """into = left right, rounded once, to into's dtype."""
        if left.dtype == into.dtype:
            return torch.mm(left, right, out=into)
        return torch.mm(left, right, into.dtype, out=into)

    def empty_weight_gradient(self) -> Tensor:
        return torch.empty(self.weight.shape, dtype=self.accumulation_dtype, device=self.weight.device)

    def add_weight_gradient(self, total: Tensor, grad: Tensor, taken: Tensor, *, first: bool) -> None:
        """total [V, D] (accumulation dtype) += grad' taken; where first, total holds nothing yet."""
        if first:
            self.product(grad.t(), taken, total)
        elif grad.dtype == total.dtype:
            total.addmm_(grad.t(), taken)
        else:
            torch.addmm(total, grad.t(), taken, total.dtype, out=total)


_kept = threading.local()


def _workspace(rows: int, columns: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Uninitialised [rows, columns], the same memory for every chunk of a thread's calls.

    On the CPU it outlives the call: fresh pages for a chunk of logits cost a tenth of the GEMMs. CUDA's allocator keeps
    memory by itself.
    """
    kept: Tensor | None = getattr(_kept, "buffer", None)
    if kept is None or kept.dtype != dtype or kept.device != device or kept.numel() < rows * columns:
        _kept.buffer = None
        kept = torch.empty(rows * columns, dtype=dtype, device=device)
        if device.type == "cpu":
            _kept.buffer = kept
    return kept[: rows * columns].view(rows, columns)
