"""Everything that a PPO run needs to go on bit for bit after step k, as safetensors and JSON.

Only what is trained is saved: frozen layers and the reference come from the parent model again. Random numbers
derive from seed and step, so none are saved; the position in the prompts follows from the step. Tensors are whole, so
a run may go on in another number of processes.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from policy.training.credit import RunningMoments
from policy.training.evaluate import Choice, Evaluation
from policy.training.guard import Guard
from policy.training.ppo import PPOState
from policy.training.sharding import share_of, whole
from policy.training.trunk import Policy
from reward.training.ranks import ALONE, Ranks

Weights = Mapping[str, Tensor]

TRAINED = "trained.safetensors"
MOMENTS = "optimizer.safetensors"
AVERAGE = "average.safetensors"
CHOSEN = "chosen.safetensors"


def gather_state(policy: Policy, state: PPOState, choice: Choice, *, ranks: Ranks = ALONE) -> dict[str, Weights]:
    """Weights, AdamW's moments and the choice so far, whole, by file. Every rank must call it; see `whole`."""
    trained = dict(policy.trained())
    moments = {
        f"{name}|{slot}": value
        for name, parameter in trained.items()
        for slot, value in state.optimizer.state.get(parameter, {}).items()
    }
    files: dict[str, Weights] = {TRAINED: trained, MOMENTS: moments}
    if state.average is not None:
        files[AVERAGE] = state.average.weights
    if choice.weights is not None and not _chosen_is_trained(choice, state):
        files[CHOSEN] = choice.weights
    return {file: whole(tensors, ranks=ranks) for file, tensors in files.items()}


def save_state(
    path: Path,
    files: Mapping[str, Weights],
    state: PPOState,
    choice: Choice,
    guard: Guard,
    history: dict[str, float],
) -> None:
    """Write what `gather_state` found and all counters into the directory `path`."""
    for file, tensors in files.items():
        save_file(dict(tensors), path / file)
    (path / "state.json").write_text(json.dumps(_numbers(state, choice, guard, history), indent=1))


def load_state(path: Path, policy: Policy, state: PPOState, choice: Choice, guard: Guard) -> dict[str, float]:
    """Put back what `save_state` wrote and return the history.

    Raises:
        ValueError: the checkpoint is of another set of trained weights.
    """
    trained = dict(policy.trained())
    weights = load_file(path / TRAINED)
    if set(weights) != set(trained):
        raise ValueError(f"checkpoint holds {len(weights)} trained tensors but the policy trains {len(trained)}")
    with torch.no_grad():
        for name, value in weights.items():
            trained[name].copy_(share_of(value, trained[name]))
    state.optimizer.state.clear()
    for key, value in load_file(path / MOMENTS).items():
        name, _, slot = key.rpartition("|")
        state.optimizer.state[trained[name]][slot] = share_of(value, trained[name])
    numbers = json.loads((path / "state.json").read_text())
    state.step, state.skipped_in_a_row = numbers["step"], numbers["skipped_in_a_row"]
    state.skipped_total, state.ended = numbers["skipped_total"], numbers["ended"]
    guard.since_best = numbers["evaluations_since_best"]
    state.controller.coefficient = numbers["kl_coefficient"]
    state.moments = RunningMoments(**numbers["moments"])
    choice.first, choice.best = (
        None if numbers[key] is None else Evaluation(**numbers[key]) for key in ("first_evaluation", "best_evaluation")
    )
    if state.average is not None:
        for name, value in load_file(path / AVERAGE).items():
            state.average.weights[name].copy_(share_of(value, trained[name]))
    _load_chosen(path, policy, choice, state, weights)
    return {name: float(value) for name, value in numbers["history"].items()}


def _load_chosen(path: Path, policy: Policy, choice: Choice, state: PPOState, trained: dict[str, Tensor]) -> None:
    if choice.best is None or choice.best.step == 0:
        choice.weights = None
    else:
        kept = trained if _chosen_is_trained(choice, state) else load_file(path / CHOSEN)
        choice.weights = {name: share_of(kept[name], p) for name, p in policy.trained_model()}


def _chosen_is_trained(choice: Choice, state: PPOState) -> bool:
    """Whether the chosen weights are the very ones that training goes on with, which are saved once."""
    return state.average is None and choice.best is not None and choice.best.step == state.step


def _numbers(state: PPOState, choice: Choice, guard: Guard, history: dict[str, float]) -> dict[str, Any]:
    return {
        "step": state.step,
        "skipped_in_a_row": state.skipped_in_a_row,
        "skipped_total": state.skipped_total,
        "ended": state.ended,
        "evaluations_since_best": guard.since_best,
        "kl_coefficient": state.controller.coefficient,
        "moments": dataclasses.asdict(state.moments),
        "first_evaluation": None if choice.first is None else choice.first._asdict(),
        "best_evaluation": None if choice.best is None else choice.best._asdict(),
        "history": history,
    }
