"""Other people's losses, each behind the same two signatures. All are optional; written against the versions below.

trl 1.16.0, liger-kernel 0.8.5, cut-cross-entropy 25.1.1, quack-kernels 0.6.5. A peer that is absent, or that fails on
this device or size, is left out of the table and named.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.problem import CLIP, Forward, Objective, Problem, Scored, clip_objective

TRL_VOCABULARY_CHUNK = 32768  # what trl.trainer.utils passes
GRPO_CHUNK_TOKENS = 512


TokenValues = Callable[[Problem], tuple[Tensor, Tensor]]
"""logp [T] and entropy [T]."""

FLSCE = "liger_kernel.ops.fused_linear_scaled_cross_entropy"
BOTH, GPU = ("cpu", "cuda"), ("cuda",)


class Peer(NamedTuple):
    """One row of the table."""

    name: str
    module: str  # importable, or the peer is left out
    forward: Forward
    devices: tuple[str, ...] = BOTH
    objective: Objective | None = None
    """Where the peer cannot compute the group's own."""


def token_peers(objective: Objective) -> list[Peer]:
    """Those that give each token's log-probability and entropy: any objective goes on top."""
    return [
        Peer("TRL ChunkedLogProbFunction", "trl.kernels", scoring(_trl, objective)),
        Peer("Liger FLSCE", FLSCE, scoring(_liger_flsce, objective)),
        # On a CPU this is what Liger FLSCE runs anyway.
        Peer("Liger FLSCE, torch (after verl)", FLSCE, scoring(_liger_flsce_torch, objective), GPU),
    ]


def scoring(values: TokenValues, objective: Objective) -> Forward:
    def forward(problem: Problem) -> Scored:
        logp, entropy = values(problem)
        return Scored(objective(logp, entropy, problem), logp, entropy)

    return forward


def ppo_peers() -> list[Peer]:
    """Whole losses. Liger's has no entropy bonus, so its gradient is held against PPO's without one."""
    return [Peer("Liger GRPO, no entropy", "liger_kernel.chunked_loss", _liger_grpo, objective=clip_objective)]


def cross_entropy_peers() -> list[Peer]:
    return [
        Peer("torch linear_cross_entropy", "torch", _torch_chunked),
        Peer("torch linear_cross_entropy, whole logits", "torch", _torch_whole),
        Peer("Liger FLCE", "liger_kernel.transformers.functional", _liger_flce, GPU),
        Peer("Liger FLCE, fp32 dW", "liger_kernel.transformers.functional", _liger_flce_fp32, GPU),
        Peer("CCE", "cut_cross_entropy", _cce, GPU),
        Peer("QuACK", "quack.linear_cross_entropy", _quack, GPU),
    ]


def absence(module: str) -> str | None:
    """Why a module cannot be imported, in one line."""
    try:
        importlib.import_module(module)
    except Exception as error:  # a peer's import may fail in any way, without CUDA libraries for one
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
    return None


def _load(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def _trl(problem: Problem) -> tuple[Tensor, Tensor]:
    function = _load("trl.kernels", "ChunkedLogProbFunction")
    logp, entropy, *_ = function.apply(
        problem.hidden, problem.weight, None, problem.ids, 1.0, TRL_VOCABULARY_CHUNK, None, 1.0, ("entropy",)
    )
    return logp, entropy


def _liger_flsce(problem: Problem) -> tuple[Tensor, Tensor]:
    """CuTe on Hopper, Liger's own PyTorch fallback elsewhere."""
    function = _load(FLSCE, "LigerFusedLinearScaledCrossEntropyFunction")
    nll, entropy = function.apply(problem.hidden, problem.weight, problem.ids, 1.0, -100, 1, True)
    return -nll, entropy.float()


def _liger_flsce_torch(problem: Problem) -> tuple[Tensor, Tensor]:
    function = _load(FLSCE, "_FusedLinearPPOFallbackFunction")
    nll, entropy = function.apply(problem.hidden, problem.weight, problem.ids, 1.0, -100, True)
    return -nll, entropy.float()


def _liger_grpo(problem: Problem) -> Scored:
    """Tokens as sequences of length 1, so that each has its own advantage, and 512 of them a chunk."""
    tokens = problem.ids.shape[0]
    loss = _load("liger_kernel.chunked_loss.grpo_loss", "LigerFusedLinearGRPOLoss")(
        beta=0.0,
        use_ref_model=False,
        chunk_size=min(GRPO_CHUNK_TOKENS, tokens),
        epsilon_low=CLIP,
        epsilon_high=CLIP,
        loss_type="bnpo",
    )
    value, _ = loss(
        problem.hidden[:, None],
        problem.weight,
        problem.ids[:, None],
        torch.ones(tokens, 1, device=problem.ids.device),
        problem.advantages,
        old_per_token_logps=problem.old_logp[:, None],
    )
    return Scored(value)


def _torch_chunked(problem: Problem) -> Scored:
    options = torch.nn.LinearCrossEntropyOptions()
    return Scored(
        torch.nn.functional.linear_cross_entropy(problem.hidden, problem.weight, problem.ids, options=options)
    )


def _torch_whole(problem: Problem) -> Scored:
    return Scored(torch.nn.functional.linear_cross_entropy(problem.hidden, problem.weight, problem.ids))


def _liger_flce(problem: Problem) -> Scored:
    function = _load("liger_kernel.transformers.functional", "liger_fused_linear_cross_entropy")
    return Scored(function(problem.hidden, problem.weight, problem.ids))


def _liger_flce_fp32(problem: Problem) -> Scored:
    function = _load("liger_kernel.transformers.functional", "liger_fused_linear_cross_entropy")
    return Scored(function(problem.hidden, problem.weight, problem.ids, accum_dtype=torch.float32))


def _cce(problem: Problem) -> Scored:
    """With its default filter. Per token, so that its log-probabilities can be checked."""
    nll = _load("cut_cross_entropy", "linear_cross_entropy")(
        problem.hidden, problem.weight, problem.ids, reduction="none"
    )
    return Scored(nll.float().mean(), -nll.float())


def _quack(problem: Problem) -> Scored:
    function = _load("quack.linear_cross_entropy", "chunked_linear_cross_entropy")
    return Scored(function(problem.hidden, problem.weight, problem.ids))
