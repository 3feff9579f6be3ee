"""The language-model head as a module that answers with PPO's loss, for models under FSDP or DDP."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gpu_ops.linear_ppo_loss import linear_ppo_loss
from gpu_ops.linear_ppo_loss.reference import LinearPPO


class LMHeadPPOLoss(nn.Linear):
    """A head without bias: `head(hidden)` gives logits, `head(hidden, ids, ...)` the arguments' linear_ppo_loss.

    FSDP has the whole weight in memory only while the module's own forward runs, so the loss has to be taken there: put
    this in place of the model's `lm_head` and call it. DDP and FSDP average gradients over ranks; pass the token count
    of all ranks together as denominator and the number of ranks as loss_scale.

    Raises:
        ValueError: a head with a bias; else as linear_ppo_loss.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(in_features, out_features, bias=False, device=device, dtype=dtype)

    @classmethod
    def like(cls, head: nn.Linear) -> LMHeadPPOLoss:
        """The same head, sharing its weight, tied to an embedding or not."""
        bias: Tensor | None = head.bias
        if bias is not None:
            raise ValueError(f"head has a bias of {bias.numel()} entries, which linear_ppo_loss does not take")
        made = cls(head.in_features, head.out_features, device=torch.device("meta"), dtype=head.weight.dtype)
        made.weight = head.weight
        return made

    def forward(self, hidden: Tensor, *tokens: Any, **options: Any) -> Tensor | LinearPPO:  # type: ignore[override]
        """hidden: [T, D] with ids, old_logp, advantages, mask and linear_ppo_loss' options; [..., D] for logits."""
        if not tokens and not options:
            return super().forward(hidden)
        return linear_ppo_loss(hidden, self.weight, *tokens, **options)
