"""Everything that a reward-model run needs to go on bit for bit, as safetensors and JSON.

Only what is trained is saved: frozen layers come from the base model again.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from reward.training.reward_model import RewardModel
from reward.training.trainer import Progress


def save_state(path: Path, model: RewardModel, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
    """Write trainable weights, AdamW's moments, the random state and the position into the directory `path`."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    moments: dict[str, Tensor] = {}
    for parameter, state in optimizer.state.items():
        moments |= {f"{names[parameter]}|{key}": value.contiguous() for key, value in state.items()}
    save_file(_trainable(model), path / "model.safetensors")
    save_file(moments, path / "optimizer.safetensors")
    save_file({"torch": torch.get_rng_state()}, path / "rng.safetensors")
    (path / "progress.json").write_text(json.dumps(dataclasses.asdict(progress)))


def load_state(path: Path, model: RewardModel, optimizer: torch.optim.Optimizer) -> Progress:
    """Put back what `save_state` wrote and return the position.

    Raises:
        ValueError: the checkpoint is of another set of trainable weights.
    """
    weights, parameters = load_file(path / "model.safetensors"), dict(model.named_parameters())
    trainable = _trainable(model)
    if set(weights) != set(trainable):
        raise ValueError(f"checkpoint holds {len(weights)} trained tensors but the model trains {len(trainable)}")
    with torch.no_grad():
        for name, value in weights.items():
            parameters[name].copy_(value)
    optimizer.state.clear()
    for key, value in load_file(path / "optimizer.safetensors").items():
        name, _, slot = key.rpartition("|")
        optimizer.state[parameters[name]][slot] = value.to(value.device if slot == "step" else parameters[name].device)
    torch.set_rng_state(load_file(path / "rng.safetensors")["torch"])
    return Progress(**json.loads((path / "progress.json").read_text()))


def _trainable(model: RewardModel) -> dict[str, Tensor]:
    return {name: p.detach().contiguous() for name, p in model.named_parameters() if p.requires_grad}
