"""What happens to one chunk of logits between its GEMMs: three kernels, written in PyTorch, C++ and Triton.

C tokens of a chunk, V vocabulary. a: logits as the GEMM gave them, z = softcap * tanh(a / softcap) / temperature.
With peak = max_j z_j, x_j = z_j - peak and s = sum_j e^{x_j}:

    log p_j = x_j - log s           H = log s - sum_j e^{x_j} x_j / s

For a loss with dL/dlogp = g, dL/dH = h, dL/dlse = l:

    dL/dz_j = g (1[j = id] - p_j) - h p_j (log p_j + H) + l p_j = g 1[j = id] + e^{x_j} (A + B x_j)
    A = (l - g - h (H - log s)) / s         B = -h / s
    dL/da_j = dL/dz_j / temperature * (1 - tanh(a_j / softcap)^2)

peak and log s are kept apart: their sum, the log-sum-exp, has fewer digits than log p needs where logits are extreme.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from gpu_ops.objective import Objective


class Softmax(NamedTuple):
    """What logits go through before the softmax."""

    temperature: float
    softcap: float | None


class Measured(NamedTuple):
    """All [C], of the logits' dtype."""

    logp: Tensor  # nats, <= 0
    entropy: Tensor  # nats, >= 0
    peak: Tensor
    log_sum: Tensor


class Upstream(NamedTuple):
    """The loss' derivatives, [C] each; None is 0 everywhere."""

    logp: Tensor | None
    entropy: Tensor | None
    lse: Tensor | None


class PPOTokens(NamedTuple):
    """What linear_ppo_loss knows of tokens that take part, [N] each."""

    ids: Tensor  # int64
    old_logp: Tensor | None  # None: on policy
    advantages: Tensor
    ref_logp: Tensor | None

    def part(self, at: slice) -> PPOTokens:
        old_logp, ref_logp = (None if column is None else column[at] for column in (self.old_logp, self.ref_logp))
        return PPOTokens(self.ids[at], old_logp, self.advantages[at], ref_logp)


class PPOGradient(NamedTuple):
    logp: Tensor  # [C] nats
    entropy: Tensor  # [C] nats
    grad_logp: Tensor  # [C] d loss / d logp, the entropy bonus apart
    grad: Tensor  # [C, V] d loss / d a


class RowKernels(Protocol):
    """Every function may overwrite the logits that it is given."""

    def measure(self, logits: Tensor, ids: Tensor, softmax: Softmax) -> Measured: ...

    def gradient(
        self, logits: Tensor, ids: Tensor, softmax: Softmax, measured: Measured, upstream: Upstream, dtype: torch.dtype
    ) -> Tensor:
        """dL/da [C, V] in dtype, from the same logits as `measured`."""

    def ppo(
        self,
        logits: Tensor,
        tokens: PPOTokens,
        softmax: Softmax,
        objective: Objective,
        scale: Tensor,
        dtype: torch.dtype,
    ) -> PPOGradient:
        """`measure`, the objective's derivative times scale (a scalar), and `gradient`, in one go."""

    def scaled(self, values: Tensor, factor: Tensor, dtype: torch.dtype) -> Tensor:
        """values * factor, a scalar, rounded to dtype once; leaves values as they are."""
