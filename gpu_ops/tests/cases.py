"""Random token batches, with every masked slot poisoned, and counters of what an op touches."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from gpu_ops import linear_logp
from gpu_ops.linear_logp import op as logp_op
from gpu_ops.linear_ppo_loss import op as ppo_op

CHUNK = 16  # rows, in place of projection.CPU_CHUNK_ROWS: Triton's interpreter takes 10 ms a row
SIZES = [1, CHUNK - 1, CHUNK, CHUNK + 1, 53]
VOCABULARY, WIDTH = 67, 8
LOG_RATIOS = (-0.6, -0.05, 0.05, 0.33, 0.6)


class Case(NamedTuple):
    """T tokens, V = 67, D = 8. Masked slots hold NaN, and ids of -100."""

    hidden: Tensor
    weight: Tensor
    ids: Tensor
    old_logp: Tensor
    advantages: Tensor
    ref_logp: Tensor
    mask: Tensor

    def to(self, dtype: torch.dtype) -> Case:
        """The model's side in dtype, as fresh leaves; the rest in float32 or wider, as in a rollout."""
        wide = torch.promote_types(dtype, torch.float32)
        hidden, weight = (x.detach().to(dtype).requires_grad_() for x in self[:2])
        rest = [x.to(wide) if x.is_floating_point() else x for x in self[2:]]
        return Case(hidden, weight, *rest)


def make_case(
    num_tokens: int,
    *,
    share: float = 0.6,
    scale: float = 1.0,
    temperature: float = 1.0,
    softcap: float | None = None,
) -> Case:
    """share: part of the tokens that take part (at least one); scale: standard deviation of the logits / sqrt(D).

    At the given temperature and softcap, log-ratios keep a distance from every clip bound that the tests use.
    """
    random = torch.Generator().manual_seed(num_tokens)
    mask = torch.rand(num_tokens, generator=random) < share
    mask[num_tokens // 2] = True
    hidden = torch.randn(num_tokens, WIDTH, generator=random) * scale
    weight = torch.randn(VOCABULARY, WIDTH, generator=random)
    ids = torch.randint(0, VOCABULARY, (num_tokens,), generator=random)
    ids[num_tokens // 2] = VOCABULARY - 1
    near = linear_logp(hidden, weight, ids, temperature=temperature, softcap=softcap).logp
    offsets = torch.tensor(LOG_RATIOS)[torch.randint(0, len(LOG_RATIOS), (num_tokens,), generator=random)]
    old, ref = near - offsets, near + 0.4 * torch.randn(num_tokens, generator=random)
    advantages = torch.randn(num_tokens, generator=random)
    advantages[1::5] = 0.0
    for poisoned in (hidden, old, ref, advantages):
        poisoned[~mask] = float("nan")
    ids[~mask] = -100
    return Case(hidden, weight, ids, old, advantages, ref, mask)


BODIES = {
    op._opoverload: op._init_fn for op in (logp_op.linear_logp, logp_op.linear_logp_backward, ppo_op.linear_ppo_loss)
}
"""What our own ops do, which PyTorch shows to a mode as one call."""


class Inside(TorchDispatchMode):
    """Sees each op, and in place of ours what they do."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in BODIES:
            with self:
                return BODIES[func](*args, **(kwargs or {}))
        result = func(*args, **(kwargs or {}))
        self.see(func.overloadpacket.__name__, args, result)
        return result

    def see(self, name: str, args: Any, result: Any) -> None:
        raise NotImplementedError


class LargestTensor(Inside):
    """Remembers the greatest number of elements that any op returned."""

    elements = 0

    def see(self, name: str, args: Any, result: Any) -> None:
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.numel())


class GemmCounter(Inside):
    """Adds up the multiply-adds of every matrix product, and notes the float32 precisions they ran at."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.multiply_adds = 0
        self.precisions: list[str] = []

    def see(self, name: str, args: Any, result: Any) -> None:
        if name in {"mm", "addmm", "addmm_"}:
            left, right = args[-2:]
            self.precisions.append(torch.get_float32_matmul_precision())
            self.multiply_adds += left.shape[0] * left.shape[1] * right.shape[1]
        else:
            assert name not in {"bmm", "baddbmm", "matmul", "linear"}, f"{name} is not counted"
