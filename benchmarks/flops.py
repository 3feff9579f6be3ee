"""Floating-point operations that a PPO step asks of its matrix products, and what share of a GPU's best that is.

The usual count of model FLOPs utilisation (MFU; Chowdhery et al. 2022, appendix B): 2 a weight and token forward, 4
backward, of which 2 are the weight's own gradient, that frozen weights beside adapters do without. Attention's own
products, adapters, norms and optimizers are left out, nothing that is computed twice counts twice,
and the first update's forward pass, which ours takes from the judge, counts.
"""

from __future__ import annotations

from benchmarks.ppo_work import Work
from benchmarks.shapes import SHAPES

PEAK = {"H100 PCIe": 756e12, "H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Dense bfloat16 FLOP/s by NVIDIA's data sheets; the first name that a device's holds."""


def step_flops(work: Work, *, value_network: bool = False, adapters: bool = False) -> dict[str, float] | None:
    """Of each phase that a side is asked for; None for a model that is not of a known shape."""
    if work.model not in SHAPES:
        return None
    trunk, head = _weights(work.model)
    response = work.batch * work.new_tokens
    # Nothing is predicted from the last token.
    sequence = work.batch * (work.prompt_tokens + work.new_tokens - 1)
    forward = 2.0 * (trunk * sequence + head * response)
    passes = 2 if adapters else 3
    value = 2.0 * trunk * sequence if value_network else 0.0
    return {
        "act": 2.0 * (trunk * sequence + head * response),
        "judge": 2 * forward + value,
        "learn": work.epochs * passes * (forward + value),
    }


def peak_flops(device: str) -> float | None:
    """Of a device by its name, dense bfloat16."""
    return next((peak for name, peak in PEAK.items() if name in device), None)


def _weights(model: str) -> tuple[int, int]:
    """Weights in the matrices of all layers, and in the language-model head."""
    shape = SHAPES[model]
    width, inner = shape["hidden_size"], shape["intermediate_size"]
    keys = width // shape["num_attention_heads"] * shape["num_key_value_heads"]
    layer = width * (2 * width + 2 * keys + 3 * inner)
    return shape["num_hidden_layers"] * layer, shape["vocab_size"] * width
