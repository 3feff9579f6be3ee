"""Log-probability of given tokens from hidden states and the head's weight, without the logits."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from gpu_ops import checks, dispatch
from gpu_ops.linear_logp import op, reference
from gpu_ops.linear_logp.reference import LinearLogp

__all__ = ["LinearLogp", "linear_logp"]

WANTED = ("entropy", "lse")


def linear_logp(
    hidden: Tensor,
    weight: Tensor,
    ids: Tensor,
    *,
    temperature: float = 1.0,
    softcap: float | None = None,
    mask: Tensor | None = None,
    want: Sequence[str] = (),
) -> LinearLogp:
    """logp_t = z_t[ids_t] - logsumexp(z_t), z = softcap * tanh(h W' / softcap) / temperature, in nats.

    Differentiable in hidden and weight, through every output. The same inputs give the same bits with and without
    gradient, and the same as linear_ppo_loss, so a first PPO ratio is exactly 1.

    Args:
        hidden: [T, D] states that the head reads; float32, bfloat16, float16 (or float64, for checks).
        weight: [V, D] of the head, of hidden's dtype unless autocast is on.
        ids: [T] int64, the token whose probability is asked, already shifted: ids[t] follows hidden[t].
        temperature: what logits are divided by, greater than 0.
        softcap: Gemma's tanh cap on logits, before the temperature.
        mask: [T] bool, True takes part. Masked tokens cost no GEMM, may hold NaN and any id, and get 0.
        want: any of "entropy", "lse".

    Returns:
        LinearLogp of [T] tensors, float32 (float64 for float64 input).

    Raises:
        ValueError: shapes or dtypes that do not fit, an id outside the vocabulary, a log-probability not finite.
    """
    unknown = sorted(set(want) - set(WANTED))
    if unknown:
        raise ValueError(f"want holds {unknown} but may only hold {list(WANTED)}")
    checks.projection(hidden, weight, ids, mask, temperature, softcap)
    if dispatch.is_reference(hidden.device.type):
        return reference.linear_logp(
            hidden, weight, ids, mask, temperature=temperature, softcap=softcap, want=tuple(want)
        )
    logp, entropy, lse, *_ = op.linear_logp(
        hidden, weight, ids, mask, float(temperature), softcap, checks.gemm_dtype(hidden)
    )
    return LinearLogp(logp, entropy if "entropy" in want else None, lse if "lse" in want else None)
