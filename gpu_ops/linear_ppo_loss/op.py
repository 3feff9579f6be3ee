"""`plumbline::linear_ppo_loss` as PyTorch knows it: checks of values, fake tensors, autograd."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gpu_ops import checks, dispatch
from gpu_ops.linear_ppo_loss.chunked import Pass
from gpu_ops.objective import Objective, PPOLossMetrics
from gpu_ops.projection import Projection
from gpu_ops.rows import PPOTokens, Softmax, torch_rows


@torch.library.custom_op("plumbline::linear_ppo_loss", mutates_args=())
def linear_ppo_loss(
    hidden: Tensor,
    weight: Tensor,
    ids: Tensor,
    old_logp: Tensor | None,
    advantages: Tensor,
    mask: Tensor | None,
    ref_logp: Tensor | None,
    denominator: Tensor,
    temperature: float,
    softcap: float | None,
    clip_low: float,
    clip_high: float,
    dual_clip: float | None,
    entropy_coef: float,
    kl_coef: float,
    kl_kind: str,
    loss_scale: float,
    gemm_dtype: torch.dtype,
    need_hidden: bool,
    need_weight: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """loss, metrics [7], logp [T], entropy [T], and the gradients for an upstream of 1, empty where not needed.

    Hidden's gradient has its dtype, weight's is float32 as it was summed: the backward's scaling rounds it, once.
    """
    dtype = torch.promote_types(gemm_dtype, torch.float32)
    rows = checks.rows(mask)
    tokens = take_part(ids, old_logp, advantages, ref_logp, rows, dtype)
    objective = Objective(
        clip_low=clip_low,
        clip_high=clip_high,
        dual_clip=dual_clip,
        entropy_coef=entropy_coef,
        kl_coef=kl_coef,
        kl_kind=kl_kind,
    )
    result = Pass(
        hidden,
        rows,
        tokens,
        objective,
        Projection.of(hidden, weight, Softmax(temperature, softcap), gemm_dtype),
        scale_of(tokens, denominator, loss_scale, dtype),
        look_at(tokens, weight.shape[0], denominator),
        need_hidden=need_hidden,
        need_weight=need_weight,
    ).run()
    return (
        result.loss,
        torch.stack([*result.metrics]),
        result.logp,
        result.entropy,
        hidden.new_empty(0) if result.d_hidden is None else result.d_hidden,
        weight.new_empty(0, dtype=dtype) if result.d_weight is None else result.d_weight,
    )


def take_part(
    ids: Tensor,
    old_logp: Tensor | None,
    advantages: Tensor,
    ref_logp: Tensor | None,
    rows: Tensor | None,
    dtype: torch.dtype,
) -> PPOTokens:
    """Drop masked slots."""

    def kept(tensor: Tensor | None) -> Tensor | None:
        if tensor is None:
            return None
        return (tensor if rows is None else tensor[rows]).to(dtype)

    kept_advantages = kept(advantages)
    assert kept_advantages is not None
    return PPOTokens(ids if rows is None else ids[rows], kept(old_logp), kept_advantages, kept(ref_logp))


def look_at(tokens: PPOTokens, vocabulary: int, denominator: Tensor) -> checks.Look:
    """Whether what takes part is in range and finite."""
    ids, old_logp, advantages, ref_logp = tokens
    return checks.tokens(
        ids, vocabulary, divisor=denominator, old_logp=old_logp, advantages=advantages, ref_logp=ref_logp
    )


def scale_of(tokens: PPOTokens, denominator: Tensor, loss_scale: float, dtype: torch.dtype) -> Tensor:
    """loss_scale / denominator as a scalar; 0 where no token takes part."""
    if not tokens.ids.numel():
        return torch.zeros((), dtype=dtype, device=denominator.device)
    return (loss_scale / denominator.reshape(())).to(dtype)


@linear_ppo_loss.register_fake
def _(hidden: Tensor, weight: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    gemm_dtype, need_hidden, need_weight = rest[-3:]
    dtype = torch.promote_types(gemm_dtype, torch.float32)
    return (
        hidden.new_empty((), dtype=dtype),
        hidden.new_empty(len(PPOLossMetrics._fields), dtype=dtype),
        hidden.new_empty(hidden.shape[0], dtype=dtype),
        hidden.new_empty(hidden.shape[0], dtype=dtype),
        torch.empty_like(hidden) if need_hidden else hidden.new_empty(0),
        weight.new_empty(weight.shape if need_weight else (0,), dtype=dtype),
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.needed, ctx.dtypes = inputs[-2:], (inputs[0].dtype, inputs[1].dtype)
    ctx.save_for_backward(*output[-2:])
    ctx.mark_non_differentiable(*output[1:])
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    upstream = grads[0]
    if torch.is_grad_enabled():
        raise RuntimeError("linear_ppo_loss has no second derivative: its gradient is taken in the forward pass")
    if upstream is None:
        return (None,) * 20
    # A plain tensor of 1, as in loss.backward(): the saved gradients are the answer, without a copy.
    whole = type(upstream) is Tensor and upstream.device.type == "cpu" and upstream.item() == 1
    gradients = (
        (saved.to(dtype) if whole else _scaled(saved, upstream, dtype)) if needed else None
        for saved, dtype, needed in zip(ctx.saved_tensors, ctx.dtypes, ctx.needed, strict=True)
    )
    return *gradients, *(None,) * 18


def _scaled(saved: Tensor, upstream: Tensor, dtype: torch.dtype) -> Tensor:
    """saved * upstream in `dtype`."""
    if type(saved) is not Tensor or saved.dtype == dtype:  # where it is traced, the compiler makes one kernel of it
        return torch_rows.scaled(saved, upstream, dtype)
    return dispatch.row_kernels(saved.device, saved.dtype).scaled(saved, upstream, dtype)


linear_ppo_loss.register_autograd(_backward, setup_context=_setup_context)
