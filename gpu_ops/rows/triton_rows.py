"""The row kernels in Triton: one program a row, float32 sums, no matrix products, so the interpreter runs them whole.

The formulas are in `gpu_ops.rows`, the objective's derivative in `gpu_ops.objective`. Every kernel reads a row twice:
`_statistics` online (Milakov and Gimelshein 2018, algorithm 3), then `_slope`, when the row is still in the cache. Rows
start at 64-bit offsets: C * V may exceed 2^31. Loop bounds are constants of the compilation, one for a vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from gpu_ops.objective import KL_KINDS, LOG_RATIO_LIMIT, Objective
from gpu_ops.rows import Measured, PPOGradient, PPOTokens, Softmax, Upstream

BLOCK = 16384
"""Columns in hand at a time: on an H100 a fifth faster than 4096 at a vocabulary of 49,152, a twentieth at 128,256."""

COLUMNS_OF_A_WARP = 512
SCALED_BLOCK = 4096
LIMIT = tl.constexpr(LOG_RATIO_LIMIT)


@triton.jit
def _tanh(y):  # type: ignore[no-untyped-def]
    """1 - 2 / (e^{2|y|} + 1) loses digits near 0, where a polynomial (Cephes' tanhf) takes its place."""
    size = tl.abs(y)
    far = 1.0 - 2.0 / (tl.exp(tl.minimum(2.0 * size, 40.0)) + 1.0)
    q = y * y
    near = q * -5.70498872745e-3 + 2.06390887954e-2
    near = near * q - 5.37397155531e-2
    near = near * q + 1.33314422036e-1
    near = near * q - 3.33332819422e-1
    near = near * q * size + size
    tanh = tl.where(size < 0.625, near, far)
    return tl.where(y < 0, -tanh, tanh)


@triton.jit
def _scale(a, temperature, softcap, CAPPED: tl.constexpr):  # type: ignore[no-untyped-def]
    if CAPPED:
        a = _tanh(a / softcap) * softcap
    return a / temperature


@triton.jit
def _statistics(row, token, temperature, softcap, CAPPED: tl.constexpr, V: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """logp of the token, entropy, peak, log of the sum of e^{z - peak}."""
    lanes = tl.arange(0, BLOCK)
    peak = tl.full((), -3.0e38, tl.float32)
    mass = tl.zeros((), tl.float32)
    weighted = tl.zeros((), tl.float32)
    for start in range(0, V, BLOCK):
        inside = start + lanes < V
        a = tl.load(row + start + lanes, mask=inside, other=0.0)
        z = tl.where(inside, _scale(a, temperature, softcap, CAPPED), -3.0e38)
        higher = tl.maximum(peak, tl.max(z, 0))
        fall = peak - higher
        weighted = tl.exp(fall) * (weighted + tl.maximum(fall, -87.0) * mass)
        mass = tl.exp(fall) * mass
        peak = higher
        # tl.maximum would turn a NaN into -87; this comparison keeps it.
        x = tl.where(z - peak < -87.0, -87.0, z - peak)
        e = tl.where(inside, tl.exp(x), 0.0)
        mass += tl.sum(e, 0)
        weighted += tl.sum(e * x, 0)
    log_sum = tl.log(mass)
    entropy = log_sum - weighted / mass
    entropy = tl.where(entropy < 0.0, 0.0, entropy)
    logp = _scale(tl.load(row + token), temperature, softcap, CAPPED) - peak - log_sum
    return logp, entropy, peak, log_sum


@triton.jit
def _slope(  # type: ignore[no-untyped-def]
    row,
    into,
    token,
    temperature,
    softcap,
    entropy,
    peak,
    log_sum,
    grad_logp,
    grad_entropy,
    grad_lse,
    CAPPED: tl.constexpr,
    V: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Write dL/da of one row; `into` may be the row itself."""
    lanes = tl.arange(0, BLOCK)
    share = tl.exp(-log_sum) / temperature
    constant = share * (grad_lse - grad_logp - grad_entropy * (entropy - log_sum))
    linear = -share * grad_entropy
    for start in range(0, V, BLOCK):
        inside = start + lanes < V
        a = tl.load(row + start + lanes, mask=inside, other=0.0)
        chain = tl.full((BLOCK,), 1.0, tl.float32)
        if CAPPED:
            tanh = _tanh(a / softcap)
            chain = 1.0 - tanh * tanh
            a = tanh * softcap
        x = a / temperature - peak
        x = tl.where(x < -87.0, -87.0, x)
        chosen = tl.where(start + lanes == token, grad_logp / temperature, 0.0)
        grad = (tl.exp(x) * (constant + linear * x) + chosen) * chain
        tl.store(into + start + lanes, grad.to(into.dtype.element_ty), mask=inside)


@triton.jit
def _measure_kernel(  # type: ignore[no-untyped-def]
    logits,
    ids,
    temperature,
    softcap,
    logp_out,
    entropy_out,
    peak_out,
    log_sum_out,
    CAPPED: tl.constexpr,
    V: tl.constexpr,
    BLOCK: tl.constexpr,
):
    c = tl.program_id(0).to(tl.int64)
    logp, entropy, peak, log_sum = _statistics(logits + c * V, tl.load(ids + c), temperature, softcap, CAPPED, V, BLOCK)
    tl.store(logp_out + c, logp)
    tl.store(entropy_out + c, entropy)
    tl.store(peak_out + c, peak)
    tl.store(log_sum_out + c, log_sum)


@triton.jit
def _at(column, c, GIVEN: tl.constexpr):  # type: ignore[no-untyped-def]
    """A column's entry as float32; 0 where there is no column."""
    value = tl.zeros((), tl.float32)
    if GIVEN:
        value = tl.load(column + c)
    return value


@triton.jit
def _gradient_kernel(  # type: ignore[no-untyped-def]
    logits,
    into,
    ids,
    temperature,
    softcap,
    entropy,
    peak,
    log_sum,
    grad_logp,
    grad_entropy,
    grad_lse,
    HAS_LOGP: tl.constexpr,
    HAS_ENTROPY: tl.constexpr,
    HAS_LSE: tl.constexpr,
    CAPPED: tl.constexpr,
    V: tl.constexpr,
    BLOCK: tl.constexpr,
):
    c = tl.program_id(0).to(tl.int64)
    _slope(
        logits + c * V,
        into + c * V,
        tl.load(ids + c),
        temperature,
        softcap,
        tl.load(entropy + c),
        tl.load(peak + c),
        tl.load(log_sum + c),
        _at(grad_logp, c, HAS_LOGP),
        _at(grad_entropy, c, HAS_ENTROPY),
        _at(grad_lse, c, HAS_LSE),
        CAPPED,
        V,
        BLOCK,
    )


@triton.jit
def _policy_slope(logp, old_logp, advantage, clip_low, clip_high, dual_clip, DUAL: tl.constexpr):  # type: ignore[no-untyped-def]
    """d policy / d logp: -A r where the unclipped term is the one taken and the log-ratio is not held, else 0."""
    raw = logp - old_logp
    ratio = tl.exp(tl.minimum(tl.maximum(raw, -LIMIT), LIMIT))
    free = -advantage * ratio
    held = -advantage * tl.minimum(tl.maximum(ratio, 1.0 - clip_low), 1.0 + clip_high)
    flat = (held > free) | (tl.abs(raw) > LIMIT)
    if DUAL:
        flat = flat | ((advantage < 0.0) & (tl.maximum(free, held) > -advantage * dual_clip))
    return tl.where(flat, 0.0, free)


@triton.jit
def _kl_slope(logp, ref_logp, KL_KIND: tl.constexpr):  # type: ignore[no-untyped-def]
    e = ref_logp - logp
    if KL_KIND == 1:
        slope = tl.full((), 1.0, tl.float32)
    elif KL_KIND == 2:
        slope = -e
    else:
        slope = tl.where(e > LIMIT, 0.0, 1.0 - tl.exp(tl.minimum(e, LIMIT)))
    return slope


@triton.jit
def _ppo_kernel(  # type: ignore[no-untyped-def]
    logits,
    into,
    ids,
    old_logp,
    advantages,
    ref_logp,
    scale,
    temperature,
    softcap,
    clip_low,
    clip_high,
    dual_clip,
    entropy_coef,
    kl_coef,
    logp_out,
    entropy_out,
    grad_out,
    HAS_OLD: tl.constexpr,
    HAS_KL: tl.constexpr,
    DUAL: tl.constexpr,
    KL_KIND: tl.constexpr,
    CAPPED: tl.constexpr,
    V: tl.constexpr,
    BLOCK: tl.constexpr,
):
    c = tl.program_id(0).to(tl.int64)
    row, token = logits + c * V, tl.load(ids + c)
    logp, entropy, peak, log_sum = _statistics(row, token, temperature, softcap, CAPPED, V, BLOCK)
    before = logp
    if HAS_OLD:
        before = tl.load(old_logp + c)
    grad = _policy_slope(logp, before, tl.load(advantages + c), clip_low, clip_high, dual_clip, DUAL)
    if HAS_KL:
        grad += kl_coef * _kl_slope(logp, tl.load(ref_logp + c), KL_KIND)
    factor = tl.load(scale)
    grad *= factor
    tl.store(logp_out + c, logp)
    tl.store(entropy_out + c, entropy)
    tl.store(grad_out + c, grad)
    bonus = -entropy_coef * factor
    _slope(row, into + c * V, token, temperature, softcap, entropy, peak, log_sum, grad, bonus, 0.0, CAPPED, V, BLOCK)


@triton.jit
def _scaled_kernel(values, into, factor, count, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(values + at, mask=at < count, other=0.0) * tl.load(factor)
    tl.store(into + at, value.to(into.dtype.element_ty), mask=at < count)


def measure(logits: Tensor, ids: Tensor, softmax: Softmax) -> Measured:
    measured = Measured(*(logits.new_empty(logits.shape[0]) for _ in Measured._fields))
    _measure_kernel[(logits.shape[0],)](
        logits, ids.contiguous(), *_scalars(softmax), *measured, **_shape(logits, softmax)
    )
    return measured


def gradient(
    logits: Tensor, ids: Tensor, softmax: Softmax, measured: Measured, upstream: Upstream, dtype: torch.dtype
) -> Tensor:
    into = _into(logits, dtype)
    _gradient_kernel[(logits.shape[0],)](
        logits,
        into,
        ids.contiguous(),
        *_scalars(softmax),
        *(value.contiguous() for value in measured[1:]),
        *(logits if value is None else value.contiguous() for value in upstream),
        *(value is not None for value in upstream),
        **_shape(logits, softmax),
    )
    return into


def ppo(
    logits: Tensor, tokens: PPOTokens, softmax: Softmax, objective: Objective, scale: Tensor, dtype: torch.dtype
) -> PPOGradient:
    into = _into(logits, dtype)
    logp, entropy, grad_logp = (logits.new_empty(logits.shape[0]) for _ in range(3))
    _ppo_kernel[(logits.shape[0],)](
        logits,
        into,
        *(logits if column is None else column.contiguous() for column in tokens),
        scale,
        *_scalars(softmax),
        objective.clip_low,
        objective.clip_high,
        objective.dual_clip or 0.0,
        objective.entropy_coef,
        objective.kl_coef,
        logp,
        entropy,
        grad_logp,
        HAS_OLD=tokens.old_logp is not None,
        HAS_KL=tokens.ref_logp is not None and objective.kl_coef != 0,
        DUAL=objective.dual_clip is not None,
        KL_KIND=KL_KINDS.index(objective.kl_kind) + 1,
        **_shape(logits, softmax),
    )
    return PPOGradient(logp, entropy, grad_logp, into)


def scaled(values: Tensor, factor: Tensor, dtype: torch.dtype) -> Tensor:
    """PyTorch's own product of float32 into bfloat16 takes twice as long as reading once and writing once."""
    into = torch.empty_like(values, dtype=dtype)
    flat = values.contiguous().view(-1)
    _scaled_kernel[(triton.cdiv(flat.numel(), SCALED_BLOCK),)](
        flat, into, factor.to(torch.float32), flat.numel(), BLOCK=SCALED_BLOCK, num_warps=8
    )
    return into


def _scalars(softmax: Softmax) -> tuple[float, float]:
    return softmax.temperature, softmax.softcap or 0.0


def _shape(logits: Tensor, softmax: Softmax) -> dict[str, Any]:
    block = min(BLOCK, triton.next_power_of_2(logits.shape[1]))
    return {
        "CAPPED": softmax.softcap is not None,
        "V": logits.shape[1],
        "BLOCK": block,
        "num_warps": max(4, block // COLUMNS_OF_A_WARP),
    }


def _into(logits: Tensor, dtype: torch.dtype) -> Tensor:
    """The gradient's buffer: the logits' own where the dtype allows it."""
    return logits if dtype == logits.dtype else torch.empty_like(logits, dtype=dtype)
