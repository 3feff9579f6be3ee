"""gae on each path against a plain loop over columns. B sequences, R columns."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

import gpu_ops
from benchmarks.candidates import FWD, PATHS, gpu_ops_path
from benchmarks.measure import Company, Plan, interleave
from benchmarks.problem import Outcome
from benchmarks.table import Row

SHAPES = ((1024, 1024), (1024, 8192))
GAMMA, LAM = 0.99, 0.95


class Episodes(NamedTuple):
    rewards: Tensor  # [B, R]
    values: Tensor  # [B, R]
    mask: Tensor  # [B, R] bool, a run from the first column on

    def double(self) -> Episodes:
        return self._replace(rewards=self.rewards.double(), values=self.values.double())


def make_episodes(sequences: int, columns: int, device: str) -> Episodes:
    random = torch.Generator(device).manual_seed(0)
    rewards, values = (torch.randn(sequences, columns, generator=random, device=device) for _ in range(2))
    lengths = torch.randint(columns // 2, columns + 1, (sequences, 1), generator=random, device=device)
    return Episodes(rewards, values, torch.arange(columns, device=device) < lengths)


@torch.no_grad()
def column_loop(episodes: Episodes) -> Tensor:
    """Advantages [B, R], as usually written."""
    keep = episodes.mask.to(episodes.values.dtype)
    values, rewards = episodes.values * keep, episodes.rewards * keep
    running = torch.zeros_like(values[:, 0])
    following = torch.zeros_like(running)
    advantages = torch.zeros_like(values)
    for t in range(values.shape[1] - 1, -1, -1):
        delta = rewards[:, t] + GAMMA * following - values[:, t]
        running = (delta + GAMMA * LAM * running) * keep[:, t]
        following = values[:, t]
        advantages[:, t] = running
    return advantages


def _ours(episodes: Episodes) -> Tensor:
    return gpu_ops.gae(episodes.rewards, episodes.values, episodes.mask, gamma=GAMMA, lam=LAM).advantages


def measure_gae(shape: tuple[int, int], device: str, plan: Plan) -> list[Row]:
    episodes = make_episodes(*shape, device)
    true = column_loop(episodes.double())
    impls = [("column loop", "", column_loop), *((f"ours ({path})", path, _ours) for path in _usable(device))]
    advantages = []
    for _, path, function in impls:
        with gpu_ops_path(path):
            advantages.append(function(episodes))
    runs = [(partial(_run, function, episodes), path) for _, path, function in impls]
    company = Company()
    timings = interleave(runs, plan)
    busy = company.cores()
    return [
        Row(
            op="gae",
            impl=name,
            device=device,
            dtype="float32",
            B=shape[0],
            T=shape[1],
            D=None,
            V=None,
            direction=FWD,
            ms=timing.ms,
            cpu_seconds=timing.cpu_seconds,
            rounds=timing.rounds,
            busy_elsewhere=busy,
            advantage_max_err=(found.double() - true).abs().max().item(),
        )
        for (name, _, _), timing, found in zip(impls, timings, advantages, strict=True)
    ]


def _run(function: Callable[[Episodes], Tensor], episodes: Episodes) -> Outcome:
    function(episodes)
    return Outcome()


def _usable(device: str) -> list[str]:
    usable = []
    for path in PATHS[device]:
        with gpu_ops_path(path), contextlib.suppress(ValueError):
            usable.append(gpu_ops.path(device).name)
    return usable
