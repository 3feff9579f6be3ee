"""A decoder as PPO needs it: a frozen bottom run once per rollout, a trained top, a reference top, a value head.

B sequences, T their padded length, D hidden. Sequences are padded on the right, where causal attention hides padding
from every real token, so no mask is needed and padding never has to be recognised by its id.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from policy.training.adapters import adapters_off, add_adapters, fold_adapters, without_effect
from policy.training.attention import use_grouped_attention
from policy.training.config import LoRAConfig
from policy.training.critic import Critic, zero_head
from policy.training.layers import embed, run_layers
from policy.training.mapped import MappedWeights

NO_ADAPTERS = LoRAConfig()


class Policy(nn.Module):
    """A causal language model with a value head, and the reference that it started as.

    The head reads the model's own hidden states, or those of a critic's trunk.

    The model is in evaluation mode for good: dropout would make old and new log-probabilities differ.
    With train_layers, embeddings, head and the lower layers are frozen: backward stops there, and the reference shares
    them and copies the top layers only (trlX's hydra). With lora nothing is copied: the reference is the policy with
    its adapters off.
    """

    model: Any

    def __init__(
        self,
        model: nn.Module,
        *,
        train_layers: int | None = None,
        autocast: bool = False,
        sampler_dtype: torch.dtype | None = None,
        critic: Critic | None = None,
        lora: LoRAConfig = NO_ADAPTERS,
        seed: int = 0,
    ) -> None:
        super().__init__()
        use_grouped_attention(model)
        self.model = model.eval()
        self.autocast = autocast
        decoder = self._decoder
        depth = len(decoder.layers)
        if train_layers is not None and train_layers > depth:
            raise ValueError(f"train_layers ({train_layers}) must be at most the model's {depth} layers")
        self.has_adapters = lora.rank is not None
        self.cut = None if train_layers is None else depth - train_layers
        if self.has_adapters:
            self.cut = self.cut or 0
            add_adapters(self.model, lora, first_layer=self.cut, num_layers=depth, seed=seed)
        else:
            self._freeze()
        # In a list, so that it is no submodule: neither trained nor saved.
        self._sampler = [] if sampler_dtype is None else [copy.deepcopy(model).to(sampler_dtype).requires_grad_(False)]
        self.value_trunk = None if critic is None else critic.trunk
        head = zero_head(int(self.model.config.hidden_size)) if critic is None else critic.head
        self.value_head = head.to(self.head.device)
        self.reference = self._copy_reference()
        self._mapped: MappedWeights | None = None

    @property
    def head(self) -> Tensor:
        """Weight of the language-model head, [V, D]."""
        weight: Tensor = self.model.lm_head.weight  # type: ignore[union-attr, assignment]
        return weight

    @property
    def reference_head(self) -> Tensor:
        """Weight of the reference's head, [V, D]: the policy's own where that is frozen."""
        weight: Tensor = self.reference["head"].weight if "head" in self.reference else self.head  # type: ignore[assignment]
        return weight

    def casting(self, like: Tensor) -> AbstractContextManager[Any]:
        """What matrix products of layers and head run in: bfloat16 operands with `autocast`."""
        return torch.autocast(like.device.type, dtype=torch.bfloat16, enabled=self.autocast)

    @torch.no_grad()
    def bottom(self, ids: Tensor) -> Tensor | None:
        """What the frozen layers make of ids [B, T]: [B, T, D], once per rollout; None where nothing is frozen."""
        if self.cut is None:
            return None
        with self.casting(ids):
            return run_layers(self._decoder.layers[: self.cut], self._rotary, self._decoder.embed_tokens(ids))

    def top(self, ids: Tensor, bottom: Tensor | None) -> Tensor:
        """Final hidden states [B, T, D] float32, with gradient. bottom: from `bottom(ids)`."""
        with self.casting(ids):
            start = embed(self._decoder.embed_tokens, ids) if bottom is None else bottom
            hidden: Tensor = self._decoder.norm(run_layers(self._top_layers, self._rotary, start))
        return hidden.float()

    @torch.no_grad()
    def reference_top(self, ids: Tensor, bottom: Tensor | None) -> Tensor:
        """As `top`, by the reference."""
        if self.has_adapters:
            with adapters_off(self.model):
                return self.top(ids, bottom)
        with self.casting(ids):
            start = self.reference["embed"](ids) if bottom is None else bottom
            hidden: Tensor = self.reference["norm"](run_layers(self.reference["layers"], self._rotary, start))  # type: ignore[arg-type]
        return hidden.float()

    def map_reference(self, folder: Path) -> None:
        """Keep the reference in a file there, for a policy on the CPU. Raises OSError where there is no room."""
        self._mapped = MappedWeights(self.reference, folder)

    def let_reference_go(self) -> None:
        """Give back the memory of a mapped reference until it is read again."""
        if self._mapped is not None:
            self._mapped.let_go()

    def values(self, ids: Tensor, places: Tensor, states: Tensor) -> Tensor:
        """Values [N] in reward units, with gradient, at places [N] of the flattened ids [B, T].

        states: [N, D], the policy's hidden states there, which a value trunk has no use for.
        """
        if self.value_trunk is not None:
            with self.casting(ids):
                states = self.value_trunk(ids).flatten(0, 1)[places].float()
        values: Tensor = self.value_head(states).squeeze(1)
        return values

    @torch.no_grad()
    def sampler(self) -> nn.Module:
        """The model to draw from: the policy's own, or its copy in `sampler_dtype`, brought up to date."""
        if not self._sampler:
            return self.model
        copies = dict(self._sampler[0].named_parameters())
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                copies[name].copy_(parameter)
        return self._sampler[0]

    def towers(self) -> Iterator[nn.ModuleList]:
        """All transformer layers: of the policy, its copy to draw from, the reference and the value trunk."""
        yield self._decoder.layers
        yield from (copied.model.layers for copied in self._sampler)  # type: ignore[union-attr, misc]
        if "layers" in self.reference:
            yield self.reference["layers"]  # type: ignore[misc]
        if self.value_trunk is not None:
            yield self.value_trunk.decoder.layers

    def move(self, device: str) -> None:
        """Everything to `device`, the copy to draw from too."""
        for module in (self, *self._sampler):
            module.to(device)

    def trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names and parameters that learn."""
        return ((name, p) for name, p in self.named_parameters() if p.requires_grad)

    def trained_model(self) -> Iterator[tuple[str, nn.Parameter]]:
        """As `trained`, without what tells values: the weights that an answer depends on."""
        return ((name, p) for name, p in self.trained() if name.startswith("model."))

    @torch.no_grad()
    def copy_weights(self) -> dict[str, Tensor]:
        """A copy of `trained_model`."""
        return {name: p.detach().clone() for name, p in self.trained_model()}

    @torch.no_grad()
    def put_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Put values for all of `trained_model` in its place."""
        for name, parameter in self.trained_model():
            parameter.copy_(weights[name])

    def critic_parameters(self) -> list[nn.Parameter]:
        """What learns of a value network that shares nothing with the policy; empty where the trunk is shared."""
        return [] if self.value_trunk is None else [p for name, p in self.trained() if name.startswith("value_")]

    @torch.no_grad()
    def initial_weights(self) -> dict[str, Tensor]:
        """The policy's trained tensors as they were at the start (the reference's), by the policy's names."""
        if self.has_adapters:
            return {name: without_effect(name, p) for name, p in self.trained_model()}
        tower = {"model.model.norm.": self.reference["norm"]}
        first = 0 if self.cut is None else self.cut
        for offset, layer in enumerate(self.reference["layers"]):  # type: ignore[arg-type, var-annotated]
            tower[f"model.model.layers.{first + offset}."] = layer
        if self.cut is None:
            tower |= {"model.model.embed_tokens.": self.reference["embed"], "model.lm_head.": self.reference["head"]}
        return {prefix + name: p for prefix, module in tower.items() for name, p in module.named_parameters()}

    def plain_model(self) -> nn.Module:
        """The language model as it is now, to be saved. Adapters are folded in, so training cannot go on after it."""
        if self.has_adapters:
            fold_adapters(self.model)
        return self.model

    def _copy_reference(self) -> nn.ModuleDict:
        if self.has_adapters:
            return nn.ModuleDict()
        decoder, whole = self._decoder, self.cut is None
        copied = {"layers": self._top_layers, "norm": decoder.norm}
        if whole:
            copied |= {"embed": decoder.embed_tokens, "head": self.model.lm_head}
        reference = nn.ModuleDict({name: copy.deepcopy(part) for name, part in copied.items()})
        reference.requires_grad_(False)
        if whole and self.model.config.tie_word_embeddings:
            reference["head"].weight = reference["embed"].weight
        return reference

    def _freeze(self) -> None:
        self.model.requires_grad_(self.cut is None)
        if self.cut is not None:
            for layer in self._top_layers:
                layer.requires_grad_(True)
            self._decoder.norm.requires_grad_(True)

    @property
    def _decoder(self) -> Any:
        return self.model.model

    @property
    def _rotary(self) -> nn.Module:
        rotary: nn.Module = self._decoder.rotary_emb
        return rotary

    @property
    def _top_layers(self) -> nn.ModuleList:
        layers: nn.ModuleList = self._decoder.layers[self.cut or 0 :]
        return layers
