"""A training process looks once more whether its machine can hold the run, before it loads anything."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from reward.training import footprint
from reward.training.footprint import Part
from reward.training.machine import swap_memory, total_memory
from reward.training.rundir import RunDirectory, TrainingRefused
from reward.training.shape import Shape, read_shape


def shape_at(folder: Path) -> Shape | None:
    """The sizes of the model in a directory; None where they cannot be told, which later steps will have words for."""
    try:
        config = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        return None
    return read_shape(config) if isinstance(config, dict) else None


def require_fit(run: RunDirectory, parts: Sequence[Part], *, remedy: str) -> None:
    """Refuse what certainly cannot be held. What may or may not fit is tried.

    Raises:
        TrainingRefused: `cannot_fit`.
    """
    needed = footprint.certain(parts)
    there = total_memory(run.spec.device) + swap_memory(run.spec.device)
    if needed > there:
        message = (
            f"This run cannot fit: its weights, gradients and optimizer alone take {needed / 2**30:.1f} GiB, and this "
            f"machine has {there / 2**30:.1f} GiB. To make it smaller, {remedy}."
        )
        raise TrainingRefused(message, code="cannot_fit")
