"""The rows of the table: the floor, ours on each path, eager PyTorch, torch.compile, and the peers, by op and pass."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks import peers
from benchmarks import problem as problems
from benchmarks.problem import Forward, Objective, Outcome, Problem, Scored
from gpu_ops import linear_logp, linear_ppo_loss
from gpu_ops.projection import CPU_CHUNK_ROWS

FWD, FWD_BWD = "fwd", "fwd+bwd"
FLOOR = "bare GEMMs"
PATHS = {"cpu": ("cpp", "torch"), "cuda": ("triton", "torch")}

Run = Callable[[], Outcome]


class Candidate(NamedTuple):
    impl: str
    bind: Callable[[Problem], Run]
    """Makes what may be made beforehand; the run is what is timed."""
    objective: Objective | None = None  # whose gradient it computes; None is not checked
    forward: Forward | None = None  # what graph breaks are counted in
    module: str = "torch"  # must be importable
    is_peer: bool = False
    path: str = ""  # what GPU_OPS is set to
    saves_over: str = ""  # the impl that it does the same work as, with prompts left out


class Group(NamedTuple):
    """What is timed in turns."""

    op: str
    direction: str  # "fwd", without gradient, or "fwd+bwd"
    candidates: list[Candidate]


def groups(device: str) -> list[Group]:
    return [
        Group("linear_ppo_loss", FWD_BWD, _ppo_rows(device)),
        Group("linear_logp", FWD, _logp_rows(device, FWD)),
        Group("linear_logp", FWD_BWD, _logp_rows(device, FWD_BWD)),
        Group("cross_entropy", FWD_BWD, _cross_entropy_rows(device)),
    ]


@contextlib.contextmanager
def gpu_ops_path(name: str) -> Iterator[None]:
    before = os.environ.get("GPU_OPS")
    if name:
        os.environ["GPU_OPS"] = name
    try:
        yield
    finally:
        os.environ.pop("GPU_OPS", None)
        if before is not None:
            os.environ["GPU_OPS"] = before


def _logp_rows(device: str, direction: str) -> list[Candidate]:
    objective = problems.logp_objective
    rows = [_ours(path, _our_logp(objective), direction, objective) for path in PATHS[device]]
    rows += _plain(peers.scoring(_naive, objective), direction, objective)
    return [*_floors(direction), *rows, *_peers(peers.token_peers(objective), device, direction, objective)]


def _ppo_rows(device: str) -> list[Candidate]:
    objective = problems.ppo_objective
    rows = [_ours(path, _our_ppo, FWD_BWD, objective) for path in PATHS[device]]
    first = PATHS[device][0]
    short = _ours(first, _our_ppo_on_answers, FWD_BWD, None)
    rows.append(short._replace(impl=f"{short.impl}, 40 % prompt tokens", forward=None, saves_over=short.impl))
    rows += _plain(peers.scoring(_naive, objective), FWD_BWD, objective)
    others = peers.token_peers(objective) + peers.ppo_peers()
    return [*_floors(FWD_BWD), *rows, *_peers(others, device, FWD_BWD, objective)]


def _cross_entropy_rows(device: str) -> list[Candidate]:
    objective = problems.cross_entropy_objective
    rows = [_ours(path, _our_cross_entropy, FWD_BWD, objective) for path in PATHS[device]]
    rows += _plain(_naive_cross_entropy, FWD_BWD, objective)
    return [*_floors(FWD_BWD), *rows, *_peers(peers.cross_entropy_peers(), device, FWD_BWD, objective)]


def _ours(path: str, forward: Forward, direction: str, objective: Objective | None) -> Candidate:
    return Candidate(f"ours ({path})", _bind(forward, direction), objective, forward, "gpu_ops", path=path)


def _plain(forward: Forward, direction: str, objective: Objective) -> list[Candidate]:
    """The whole [T, V] in memory, as written by hand and as torch.compile makes of it."""
    compiled: Forward = torch.compile(forward, dynamic=False)
    return [
        Candidate("eager", _bind(forward, direction), objective, forward),
        Candidate("torch.compile", _bind(compiled, direction), objective, forward),
    ]


def _peers(rows: list[peers.Peer], device: str, direction: str, objective: Objective) -> list[Candidate]:
    return [
        Candidate(row.name, _bind(row.forward, direction), row.objective or objective, row.forward, row.module, True)
        for row in rows
        if device in row.devices
    ]


def _bind(forward: Forward, direction: str) -> Callable[[Problem], Run]:
    def bind(problem: Problem) -> Run:
        return lambda: score(forward, problem) if direction == FWD else learn(forward, problem)

    return bind


def score(forward: Forward, problem: Problem) -> Outcome:
    with torch.no_grad():
        scored = forward(problem)
    return Outcome(scored.logp, scored.entropy)


def learn(forward: Forward, problem: Problem) -> Outcome:
    scored = forward(problem)
    assert scored.loss is not None
    d_hidden, d_weight = torch.autograd.grad(scored.loss, (problem.hidden, problem.weight))
    logp, entropy = (x if x is None else x.detach() for x in (scored.logp, scored.entropy))
    return Outcome(logp, entropy, d_hidden, d_weight)


def _our_logp(objective: Objective) -> Forward:
    def values(problem: Problem) -> tuple[Tensor, Tensor]:
        logp, entropy, _ = linear_logp(problem.hidden, problem.weight, problem.ids, want=("entropy",))
        assert entropy is not None
        return logp, entropy

    return peers.scoring(values, objective)


def _our_ppo(problem: Problem) -> Scored:
    return _our_ppo_with(problem, None, problem.ids.shape[0])


def _our_ppo_on_answers(problem: Problem) -> Scored:
    return _our_ppo_with(problem, problem.answers, problem.answers.sum())


def _our_ppo_with(problem: Problem, mask: Tensor | None, denominator: float | Tensor) -> Scored:
    loss, _, logp, entropy = linear_ppo_loss(
        problem.hidden,
        problem.weight,
        problem.ids,
        problem.old_logp,
        problem.advantages,
        mask,
        clip_low=problems.CLIP,
        clip_high=problems.CLIP,
        entropy_coef=problems.ENTROPY_COEF,
        denominator=denominator,
    )
    return Scored(loss, logp, entropy)


def _our_cross_entropy(problem: Problem) -> Scored:
    logp = linear_logp(problem.hidden, problem.weight, problem.ids).logp
    return Scored(-logp.mean(), logp)


def _naive(problem: Problem) -> tuple[Tensor, Tensor]:
    log_p = torch.log_softmax((problem.hidden @ problem.weight.t()).float(), dim=-1)
    return log_p.gather(1, problem.ids[:, None]).squeeze(1), -(log_p.exp() * log_p).sum(-1)


def _naive_cross_entropy(problem: Problem) -> Scored:
    logits = (problem.hidden @ problem.weight.t()).float()
    nll = torch.nn.functional.cross_entropy(logits, problem.ids, reduction="none")
    return Scored(nll.mean(), -nll)


def _floors(direction: str) -> list[Candidate]:
    three = direction == FWD_BWD
    return [
        Candidate(FLOOR, _preallocated_gemms(three=three)),
        Candidate(f"{FLOOR}, fresh outputs", _fresh_gemms(three=three)),
    ]


def _preallocated_gemms(*, three: bool) -> Callable[[Problem], Run]:
    """The strictest floor: nothing is allocated. Logits stand in for their gradient, at the same real scale."""

    def bind(problem: Problem) -> Run:
        hidden, weight = problem.hidden.detach(), problem.weight.detach()
        step = CPU_CHUNK_ROWS if hidden.device.type == "cpu" else hidden.shape[0]
        # Written once: on a CPU, memory is not there before that.
        logits = hidden.new_empty(min(step, hidden.shape[0]), weight.shape[0]).zero_()
        d_hidden, d_weight = (torch.empty_like(x).zero_() for x in (hidden, weight))

        def run() -> Outcome:
            for start in range(0, hidden.shape[0], step):
                rows = hidden[start : start + step]
                here = torch.mm(rows, weight.t(), out=logits[: rows.shape[0]])
                if three:
                    torch.mm(here, weight, out=d_hidden[start : start + step])
                    if start:
                        d_weight.addmm_(here.t(), rows)
                    else:
                        torch.mm(here.t(), rows, out=d_weight)
            return Outcome()

        return run

    return bind


def _fresh_gemms(*, three: bool) -> Callable[[Problem], Run]:
    """As ordinary code would: whole logits, every result in new memory."""

    def bind(problem: Problem) -> Run:
        hidden, weight = problem.hidden.detach(), problem.weight.detach()

        def run() -> Outcome:
            logits = hidden @ weight.t()
            return Outcome(d_hidden=logits @ weight, d_weight=logits.t() @ hidden) if three else Outcome()

        return run

    return bind
