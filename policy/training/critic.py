"""Where values come from when not from the policy's own trunk: a decoder of its own under the value head.

B sequences padded on the right, T their padded length, D hidden.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from policy.training.attention import use_grouped_attention
from policy.training.layers import run_layers
from reward.training.reward_model import RewardModel


class ValueTrunk(nn.Module):
    """Embedding, transformer layers and final norm of a decoder, as they are; its language-model head has no use."""

    decoder: Any

    def __init__(self, decoder: nn.Module, *, train_layers: int | None = None) -> None:
        super().__init__()
        use_grouped_attention(decoder)
        self.decoder = decoder.eval()
        self.cut = 0 if train_layers is None else max(0, len(self.decoder.layers) - train_layers)
        if train_layers is not None:
            self._train_only_last()

    def forward(self, ids: Tensor) -> Tensor:
        """Final hidden states [B, T, D] of ids [B, T]. What is frozen below collects no gradient."""
        layers, rotary = self.decoder.layers, self.decoder.rotary_emb
        start = self.decoder.embed_tokens(ids)
        if self.cut:
            with torch.no_grad():
                start = run_layers(layers[: self.cut], rotary, start)
        hidden: Tensor = self.decoder.norm(run_layers(layers[self.cut :], rotary, start))
        return hidden

    @property
    def hidden_size(self) -> int:
        return int(self.decoder.config.hidden_size)

    def _train_only_last(self) -> None:
        self.decoder.requires_grad_(False)
        for layer in self.decoder.layers[self.cut :]:
            layer.requires_grad_(True)
        self.decoder.norm.requires_grad_(True)


class Critic(NamedTuple):
    """A value network before training: a trunk and the linear head on it, in reward units."""

    trunk: ValueTrunk
    head: nn.Linear


def zero_head(width: int) -> nn.Linear:
    """A value head that knows nothing yet."""
    head = nn.Linear(width, 1)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def critic_like_policy(model: nn.Module, *, train_layers: int | None = None) -> Critic:
    """A copy of the policy's decoder. The head starts at zero."""
    decoder: Any = copy.deepcopy(model.model)
    trunk = ValueTrunk(decoder.requires_grad_(True), train_layers=train_layers)
    return Critic(trunk, zero_head(trunk.hidden_size))


@torch.no_grad()
def critic_from_reward_model(reward: RewardModel, *, scale: float, train_layers: int | None = None) -> Critic:
    """A copy of the reward model, which starts with its opinion of the answer so far (Stiennon et al. 2020).

    Args:
        scale: what scores are multiplied by before they become rewards.

    Raises:
        ValueError: the reward model also reads the mean over an answer, which no single token has.
    """
    if reward.pooling != "last":
        raise ValueError(
            f"value_network reward-model needs a reward model that reads the last token alone, not {reward.pooling}"
        )
    decoder: Any = copy.deepcopy(reward.backbone)
    trunk = ValueTrunk(decoder.requires_grad_(True), train_layers=train_layers)
    head = nn.Linear(trunk.hidden_size, 1)
    head.weight.copy_(scale * reward.head_weight.mean(0, keepdim=True))
    head.bias.copy_(scale * reward.head_bias.mean(0, keepdim=True))
    return Critic(trunk, head)
