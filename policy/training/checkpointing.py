"""Everything that a PPO run needs to go on bit for bit after step k, as safetensors and JSON.

Only what is trained is saved: frozen layers and the reference come from the parent model again. Random numbers
derive from seed and step, so none are saved; the position in the prompts follows from the step.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from policy.training.credit import RunningMoments
from policy.training.evaluate import Choice, Evaluation
from policy.training.guard import Guard
from policy.training.ppo import PPOState
from policy.training.trunk import Policy

AVERAGE = "average.safetensors"
CHOSEN = "chosen.safetensors"


def save_state(
    path: Path, policy: Policy, state: PPOState, choice: Choice, guard: Guard, history: dict[str, float]
) -> None:
    """Write weights, AdamW's moments, the choice so far and all counters into the directory `path`."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in policy.trained()}
    moments: dict[str, Tensor] = {}
    for parameter, slots in state.optimizer.state.items():
        moments |= {f"{names[parameter]}|{slot}": value.contiguous() for slot, value in slots.items()}
    save_file({name: p.detach().contiguous() for p, name in names.items()}, path / "trained.safetensors")
    save_file(moments, path / "optimizer.safetensors")
    if state.average is not None:
        save_file({name: value.contiguous() for name, value in state.average.weights.items()}, path / AVERAGE)
    if choice.weights is not None and not _chosen_is_trained(choice, state):
        save_file(choice.weights, path / CHOSEN)
    (path / "state.json").write_text(json.dumps(_numbers(state, choice, guard, history), indent=1))


def load_state(path: Path, policy: Policy, state: PPOState, choice: Choice, guard: Guard) -> dict[str, float]:
    """Put back what `save_state` wrote and return the history.

    Raises:
        ValueError: the checkpoint is of another set of trained weights.
    """
    trained = dict(policy.trained())
    weights = load_file(path / "trained.safetensors")
    if set(weights) != set(trained):
        raise ValueError(f"checkpoint holds {len(weights)} trained tensors but the policy trains {len(trained)}")
    with torch.no_grad():
        for name, value in weights.items():
            trained[name].copy_(value)
    state.optimizer.state.clear()
    for key, value in load_file(path / "optimizer.safetensors").items():
        name, _, slot = key.rpartition("|")
        state.optimizer.state[trained[name]][slot] = value.to(trained[name].device)
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
            state.average.weights[name].copy_(value)
    _load_chosen(path, policy, choice, state, weights)
    return {name: float(value) for name, value in numbers["history"].items()}


def _load_chosen(path: Path, policy: Policy, choice: Choice, state: PPOState, trained: dict[str, Tensor]) -> None:
    if choice.best is None or choice.best.step == 0:
        choice.weights = None
    else:
        kept = trained if _chosen_is_trained(choice, state) else load_file(path / CHOSEN)
        choice.weights = {name: kept[name] for name, _ in policy.trained_model()}


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
