"""A reward model: a decoder's backbone and one or more scalar heads on what it makes of an answer.

A answers, D hidden, M heads, F features of an answer: D of its last token, with the mean over its tokens 2 D. Answers
are packed behind their prompts (`reward.training.packing`): no padding has to be recognised and a prompt is computed
once. The language-model head is never computed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModel

from gpu_ops import last_states, linear_scores, span_means
from reward.training.config import Pooling
from reward.training.files import replace_json
from reward.training.language_model import (
    Tokenizer,
    load_tokenizer,
    read_meta,
    read_weights,
    save_tokenizer,
    use_pad_token,
)
from reward.training.objective import Learned
from reward.training.packing import Pack, Prefixed, pack, use_packed_attention
from reward.training.rundir import TrainingRefused


class RewardModel(nn.Module):
    """Scores of answers, in reward units (nats of log-odds that one answer is preferred to another).

    With several heads the score is their mean, and how far they lie apart says how unsure the model is.
    After training the scores of the training answers have mean 0; `score_mean` and `score_std` describe them.
    """

    head_bias: Tensor

    def __init__(self, backbone: nn.Module, tokenizer: Tokenizer, *, heads: int = 1, pooling: Pooling = "last") -> None:
        super().__init__()
        if pooling not in get_args(Pooling):
            raise ValueError(f"pooling must be one of {', '.join(get_args(Pooling))}, not {pooling!r}")
        hidden_size = int(backbone.config.hidden_size)  # type: ignore[union-attr, arg-type]
        self.pooling = pooling
        use_packed_attention(backbone)
        self.backbone = backbone
        self.tokenizer = tokenizer
        self.head_weight = nn.Parameter(torch.zeros(heads, hidden_size * (2 if pooling == "last-and-mean" else 1)))
        # A constant cancels in every comparison, so it is set after training and never learned.
        self.register_buffer("head_bias", torch.zeros(heads))
        self.log_tie = nn.Parameter(torch.zeros(1))
        self.anchor = nn.Parameter(torch.zeros(heads))
        self.has_anchor = False
        self.autocast_dtype: torch.dtype | None = None
        self.score_mean = 0.0
        self.score_std = 1.0

    @classmethod
    def from_base(
        cls,
        path: str | Path,
        *,
        seed: int,
        heads: int = 1,
        head_std: float | None = None,
        layers: int | None = None,
        pooling: Pooling = "last",
    ) -> RewardModel:
        """Start from a language model: its backbone in float32 and random heads without bias.

        Args:
            head_std: None is 1/sqrt(F + 1), the summarisation papers' choice, for hidden states of unit variance.
            layers: keep only the first so many transformer layers, followed by the final norm; None keeps all.
            pooling: what the heads read of an answer.

        Raises:
            ValueError: more layers than the model has, or a model whose answers cannot be packed.
        """
        tokenizer = load_tokenizer(path)
        backbone = read_weights(AutoModel, Path(path), dtype=torch.float32)
        use_pad_token(backbone, tokenizer)
        if layers is not None:
            _keep_first(backbone, layers)
        model = cls(backbone, tokenizer, heads=heads, pooling=pooling)
        generator = torch.Generator().manual_seed(seed)
        std = 1 / math.sqrt(model.head_weight.shape[1] + 1) if head_std is None else head_std
        with torch.no_grad():
            model.head_weight.normal_(0.0, std, generator=generator)
        return model.eval()

    @classmethod
    def load(cls, path: str | Path) -> RewardModel:
        """Read a trained reward model. Raises TrainingRefused (`not_a_reward_model`, `model_unreadable`, ...)."""
        path = Path(path)
        meta = read_meta(path)
        if meta.get("kind") != "reward" or not (path / "head.safetensors").is_file():
            message = f"{path} is not a reward model (no scalar head there); choose a trained reward model."
            raise TrainingRefused(message, code="not_a_reward_model")
        try:
            head = load_file(path / "head.safetensors")
            # Models written before there was a choice read the last token.
            pooling = meta.get("pooling", "last")
            model = cls.from_base(path, seed=0, heads=head["bias"].numel(), pooling=pooling)
            with torch.no_grad():
                model.head_weight.copy_(head["weight"])
                model.head_bias.copy_(head["bias"])
                model.log_tie.fill_(math.log(meta["tie_strength"]))
                if "anchor" in head:
                    model.anchor.copy_(head["anchor"])
                    model.has_anchor = True
            model.score_mean, model.score_std = float(meta["score_mean"]), float(meta["score_std"])
        except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            message = f"The reward model in {path} cannot be read ({error}); train it again."
            raise TrainingRefused(message, code="model_unreadable") from error
        return model

    def save(self, path: str | Path, *, meta: Mapping[str, Any]) -> None:
        """Write a reward directory: backbone in HF format, head.safetensors, tokenizer, plumbline.json with `meta`."""
        path = Path(path)
        self.backbone.save_pretrained(str(path), safe_serialization=True)  # type: ignore[operator]
        head = {"weight": self.head_weight.detach().contiguous(), "bias": self.head_bias.detach().contiguous()}
        if self.has_anchor:
            head["anchor"] = self.anchor.detach().contiguous()
        save_file(head, path / "head.safetensors")
        save_tokenizer(self.tokenizer, path)
        described = {
            **meta,
            "kind": "reward",
            "score_mean": self.score_mean,
            "score_std": self.score_std,
            "tie_strength": self.tie_strength,
            "acceptable_score": self.acceptable_score,
            "pooling": self.pooling,
            "eos_required": True,
        }
        replace_json(path / "plumbline.json", {"format": 1, **described})

    @property
    def num_heads(self) -> int:
        return self.head_weight.shape[0]

    @property
    def tie_strength(self) -> float:
        """Davidson's nu (a tie between equal answers has odds of nu : 2) or Rao and Kupper's eta; 1 if not learned."""
        return math.exp(float(self.log_tie.detach()))

    @property
    def acceptable_score(self) -> float | None:
        """The score at which an answer is as likely acceptable as not; None where people said nothing of that."""
        return float(self.anchor.detach().mean()) if self.has_anchor else None

    @property
    def learned(self) -> Learned:
        """What the loss learns beside the scores."""
        return Learned(self.log_tie, self.anchor)

    def forward(self, row: Pack, embeddings: Tensor | None = None) -> Tensor:
        """[A, M] float32 scores of the answers of a pack by each head.

        Args:
            embeddings: [1, N, D], read in place of the embeddings of the row's ids.
        """
        return linear_scores(self._features(row, embeddings), self.head_weight, self.head_bias)

    def members(self, groups: Sequence[Prefixed]) -> Tensor:
        """[A, M] float32 scores by each head, every answer (EOS included) scored once, with gradient."""
        scores: Tensor = self(pack(groups, self.head_weight.device))
        return scores

    def score(self, groups: Sequence[Prefixed]) -> Tensor:
        """[A] float32 scores, the mean of the heads', with gradient."""
        return self.members(groups).mean(dim=1)

    @torch.no_grad()
    def features(self, groups: Sequence[Prefixed]) -> Tensor:
        """[A, F] float32, what the heads read of each answer. Without gradient."""
        return self._features(pack(groups, self.head_weight.device))

    def _features(self, row: Pack, embeddings: Tensor | None = None) -> Tensor:
        hidden = self._hidden(row, embeddings)
        last = last_states(hidden, row.last)
        if self.pooling == "last":
            return last
        return torch.cat([last, span_means(hidden, row.first, row.last)], dim=1)

    def _hidden(self, row: Pack, embeddings: Tensor | None = None) -> Tensor:
        """[N, D], the final hidden state of every token of the row."""
        device, dtype = row.ids.device.type, self.autocast_dtype
        given = {"input_ids": row.ids} if embeddings is None else {"inputs_embeds": embeddings}
        with torch.autocast(device, dtype=dtype, enabled=dtype is not None):
            out = self.backbone(**given, position_ids=row.positions, blocks=row.blocks, use_cache=False)
        hidden: Tensor = out.last_hidden_state[0]
        return hidden

    def train_only_last(self, layers: int | None) -> None:
        """Freeze embeddings and all but the last `layers` transformer layers; None trains everything.

        Raises:
            ValueError: more layers than the model has.
        """
        if layers is None:
            return
        blocks = self.backbone.layers
        if layers > len(blocks):  # type: ignore[arg-type]
            raise ValueError(f"train_layers ({layers}) must be at most the model's {len(blocks)} layers")  # type: ignore[arg-type]
        self.backbone.requires_grad_(False)
        for block in list(blocks)[len(blocks) - layers :]:  # type: ignore[arg-type]
            block.requires_grad_(True)
        self.backbone.norm.requires_grad_(True)  # type: ignore[union-attr, operator]

    @torch.no_grad()
    def center(self, members: Tensor) -> None:
        """Shift the heads so that answers they score [A, M] `members` now have mean 0, and remember their spread."""
        shift = members.mean(dim=0)
        self.head_bias.sub_(shift)
        self.anchor.sub_(shift)
        scores = members.mean(dim=1)
        self.score_mean = 0.0
        self.score_std = float(scores.std(unbiased=True)) if scores.numel() > 1 else 1.0


def _keep_first(backbone: nn.Module, layers: int) -> None:
    """Cut the backbone after its first `layers` transformer layers, in its config too, which a saved copy goes by."""
    blocks, config = backbone.layers, backbone.config
    if layers > len(blocks):  # type: ignore[arg-type]
        raise ValueError(f"backbone_layers ({layers}) must be at most the model's {len(blocks)} layers")  # type: ignore[arg-type]
    backbone.layers = blocks[:layers]  # type: ignore[index]
    config.num_hidden_layers = layers  # type: ignore[union-attr]
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]  # type: ignore[union-attr, index]
