"""One chunk of tokens against the whole vocabulary, forward and back: what both fused heads share.

T tokens, N tokens that take part, C tokens of one chunk, D hidden, V vocabulary.

    a = h W'          (GEMM)             da_j = dz_j / temperature * (1 - tanh(a_j / softcap)^2)
    z = softcap * tanh(a / softcap) / temperature        dh = da W      (GEMM)
    log p = z - logsumexp(z)                             dW += da' h    (GEMM)

For a loss with dL/dlogp = g, dL/dentropy = g_H, dL/dlse = g_S, and H = -sum_j p_j log p_j:

    dz_j = g (1[j = id] - p_j) - g_H p_j (log p_j + H) + g_S p_j
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gpu_ops import checks

CPU_CHUNK_ROWS = 512
DEVICE_CHUNK_BYTES = 2**30


def chunk_rows(device: torch.device, vocabulary: int) -> int:
    """Rows of a chunk; it depends on nothing else, so a call with and without gradient runs the same GEMMs."""
    if device.type == "cpu":
        return CPU_CHUNK_ROWS
    return max(1, DEVICE_CHUNK_BYTES // (4 * vocabulary))


@dataclass(slots=True)
class Scores:
    """log_p [C, V] in the accumulation dtype; tanh [C, V] where there is a softcap; lse [C] where it was asked for."""

    log_p: Tensor
    tanh: Tensor | None
    lse: Tensor | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """The language-model head: weight [V, D] in the GEMMs' dtype, and what happens to logits before the softmax."""

    weight: Tensor
    temperature: float
    softcap: float | None
    fast_float32: bool
    """Float32 GEMMs may round their operands to bfloat16; sums and results stay float32 (AMX, AVX512-BF16)."""

    @classmethod
    def of(cls, hidden: Tensor, weight: Tensor, temperature: float, softcap: float | None) -> Projection:
        """Fix the precision from autocast now, so a backward outside its context agrees with the forward."""
        wanted = checks.autocast_dtype(hidden)
        fast = wanted == torch.bfloat16 and hidden.device.type == "cpu"
        # A bfloat16 GEMM on the CPU rounds its result as well; this way logits keep float32's 24 bits.
        dtype = torch.float32 if fast else wanted or hidden.dtype
        return cls(weight=weight.detach().to(dtype), temperature=temperature, softcap=softcap, fast_float32=fast)

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

    def scores(self, hidden: Tensor, *, want_lse: bool = False) -> Scores:
        logits = torch.mm(hidden, self.weight.t()).to(self.accumulation_dtype)
        tanh = None
        if self.softcap is not None:
            tanh = logits.div_(self.softcap).tanh_()
            logits = tanh * self.softcap
        if self.temperature != 1.0:
            logits.div_(self.temperature)
        lse = torch.logsumexp(logits, dim=-1) if want_lse else None
        return Scores(torch.log_softmax(logits, dim=-1), tanh, lse)

    def logits_gradient(
        self,
        scores: Scores,
        probs: Tensor,
        ids: Tensor,
        grad_logp: Tensor,
        grad_entropy: Tensor | None = None,
        entropy: Tensor | None = None,
        grad_lse: Tensor | None = None,
    ) -> Tensor:
        """dL/da [C, V] in the GEMMs' dtype. Consumes probs and scores.log_p: both buffers are reused."""
        constant = grad_logp if grad_lse is None else grad_logp - grad_lse
        if grad_entropy is None or entropy is None:
            grad = probs.mul_(-constant[:, None])
        else:
            inner = scores.log_p.add_(entropy[:, None]).mul_(-grad_entropy[:, None]).sub_(constant[:, None])
            grad = probs.mul_(inner)
        grad.scatter_add_(1, ids[:, None], grad_logp[:, None])
        if self.temperature != 1.0:
            grad.div_(self.temperature)
        if scores.tanh is not None:
            grad.mul_(1 - scores.tanh.square())
        return grad.to(self.weight.dtype)

    def accumulate_weight_gradient(self, total: Tensor, grad: Tensor, hidden: Tensor) -> None:
        """total [V, D] (accumulation dtype) += grad' hidden."""
        if grad.dtype == total.dtype:
            total.addmm_(grad.t(), hidden)
        else:
            total.add_(torch.mm(grad.t(), hidden))

    def hidden_gradient(self, grad: Tensor) -> Tensor:
        return torch.mm(grad, self.weight)


def put(target: Tensor, rows: Tensor | None, chunk: slice, values: Tensor) -> None:
    """Write a chunk's values to the tokens they came from; masked tokens keep their zero."""
    if rows is None:
        target[chunk] = values.to(target.dtype)
    else:
        target.index_copy_(0, rows[chunk], values.to(target.dtype))


def pick(log_p: Tensor, ids: Tensor) -> Tensor:
    """log_p[c, ids[c]] -> [C]."""
    return log_p.gather(1, ids[:, None]).squeeze(1)


def entropy_of(probs: Tensor, log_p: Tensor) -> Tensor:
    """-sum_j p_j log p_j -> [C], in nats. Not a matrix product, which "medium" precision would round."""
    entropy: Tensor = -torch.linalg.vecdot(probs, log_p)
    return entropy
