"""Float64 values and gradients by autograd over plain log_softmax, a few rows at a time; and distances from them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.problem import Objective, Outcome, Problem

CHUNK_ROWS = 128


class Truth(NamedTuple):
    """All float64."""

    logp: Tensor  # [T]
    entropy: Tensor  # [T]
    d_hidden: Tensor  # [T, D]
    d_weight: Tensor  # [V, D]


class Errors(NamedTuple):
    """None where an implementation does not return the value."""

    logp_max_err: float | None = None  # nats
    entropy_max_err: float | None = None  # nats
    ratio_err: float | None = None  # max |exp(logp - true logp) - 1|: what PPO's ratio is off by
    dx_rel_err: float | None = None  # Frobenius
    dw_rel_err: float | None = None  # Frobenius

    @property
    def grad_rel_err(self) -> float | None:
        known = [x for x in (self.dx_rel_err, self.dw_rel_err) if x is not None]
        return max(known) if known else None


def token_values(problem: Problem) -> tuple[Tensor, Tensor]:
    """True logp and entropy [T], without gradients."""
    with torch.no_grad():
        weight = problem.weight.double()
        parts = [
            _score(hidden.double(), weight, ids)
            for hidden, ids in zip(problem.hidden.split(CHUNK_ROWS), problem.ids.split(CHUNK_ROWS), strict=True)
        ]
    return torch.cat([logp for logp, _ in parts]), torch.cat([entropy for _, entropy in parts])


def truth(problem: Problem, objective: Objective) -> Truth:
    """The objective's loss is a sum over tokens, so its derivative by each token's values comes first, then chunks."""
    logp, entropy = (x.requires_grad_() for x in token_values(problem))
    wide = problem._replace(old_logp=problem.old_logp.double(), advantages=problem.advantages.double())
    by_logp, by_entropy = torch.autograd.grad(
        objective(logp, entropy, wide), (logp, entropy), allow_unused=True, materialize_grads=True
    )
    weight = problem.weight.detach().double().requires_grad_()
    d_hidden = []
    for start in range(0, logp.shape[0], CHUNK_ROWS):
        rows = slice(start, start + CHUNK_ROWS)
        hidden = problem.hidden[rows].detach().double().requires_grad_()
        here = _score(hidden, weight, problem.ids[rows])
        torch.autograd.backward(here, (by_logp[rows], by_entropy[rows]))
        assert hidden.grad is not None
        d_hidden.append(hidden.grad)
    assert weight.grad is not None
    return Truth(logp.detach(), entropy.detach(), torch.cat(d_hidden), weight.grad)


def _score(hidden: Tensor, weight: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    log_p = torch.log_softmax(hidden @ weight.t(), dim=-1)
    return log_p.gather(1, ids[:, None]).squeeze(1), -(log_p.exp() * log_p).sum(-1)


def errors(outcome: Outcome, true: Truth) -> Errors:
    off = None if outcome.logp is None else outcome.logp.detach().double() - true.logp
    return Errors(
        logp_max_err=None if off is None else off.abs().max().item(),
        entropy_max_err=_max_abs(outcome.entropy, true.entropy),
        ratio_err=None if off is None else off.expm1().abs().max().item(),
        dx_rel_err=_relative(outcome.d_hidden, true.d_hidden),
        dw_rel_err=_relative(outcome.d_weight, true.d_weight),
    )


def _max_abs(value: Tensor | None, true: Tensor) -> float | None:
    return None if value is None else (value.detach().double() - true).abs().max().item()


def _relative(value: Tensor | None, true: Tensor) -> float | None:
    return None if value is None else ((value.double() - true).norm() / true.norm()).item()
