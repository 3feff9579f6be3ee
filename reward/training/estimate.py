"""What a reward-model run will need: memory by part, seconds by phase. Imports no torch: forms estimate with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from reward.training import footprint
from reward.training.config import RewardConfig
from reward.training.footprint import Part
from reward.training.shape import Shape
from reward.training.speed import Speed


def gettext_noop(text: str) -> str:
    """The text as it is, gathered for the catalogues: a process says it in English, a page in its own language."""
    return text


SMALLER_REWARD_MODEL = gettext_noop("train fewer layers (train_layers) or keep fewer (backbone_layers)")
"""What makes a run need less, said where it cannot fit."""

FLOORS_BYTES = 107 * 2**20
"""What importing scipy and scikit-learn for the floors adds to the program, measured on a CPU."""


class Phase(NamedTuple):
    """A part of the run's time, all steps together."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """phases: None where the speed of the machine, or what the run reads, is not known."""

    parts: Sequence[Part]
    phases: Sequence[Phase] | None

    @property
    def memory_bytes(self) -> int:
        """At the moment that needs most."""
        return footprint.total(self.parts)

    @property
    def certain_bytes(self) -> int:
        """What is needed in any case; a machine with less cannot run it."""
        return footprint.certain(self.parts)

    @property
    def seconds(self) -> float | None:
        return None if self.phases is None else sum(phase.seconds for phase in self.phases)


class GroupLengths(NamedTuple):
    """Tokens of a prompt and of each of its answers."""

    prompt: int
    answers: Sequence[int]

    @property
    def tokens(self) -> int:
        return self.prompt + sum(self.answers)


class GroupData(NamedTuple):
    """The groups of a snapshot as a reward model reads them."""

    train: Sequence[GroupLengths]
    heldout: Sequence[GroupLengths]


def estimate_reward(base: Shape, config: RewardConfig, data: GroupData | None, speed: Speed | None) -> Estimate:
    """Of a run of kind `reward.train`; data, speed: None where they are not known."""
    phases = None if data is None or speed is None else _phases(base, config, data, speed)
    return Estimate(parts=reward_memory(base, config, data), phases=phases)


def reward_memory(base: Shape, config: RewardConfig, data: GroupData | None = None) -> list[Part]:
    """data: None counts only what does not depend on it."""
    shape = base.first(config.backbone_layers)
    trained = _trained(shape, config)
    common = [
        Part("program", footprint.PROGRAM_BYTES + FLOORS_BYTES),
        footprint.weights("model", shape.backbone),
        *footprint.training(trained),
    ]
    if data is None:
        return common
    groups = sorted((*data.train, *data.heldout), key=lambda group: group.tokens)
    forward = min(config.groups_per_forward, config.groups_per_step)
    tokens = forward * footprint.greatest_of([group.tokens for group in groups], forward)
    repeated = forward * sum(group.prompt * len(group.answers) for group in groups) / len(groups)
    layers = shape.layers if config.train_layers is None else min(config.train_layers, shape.layers)
    kept = footprint.activations(shape, layers=layers, tokens=tokens, repeated_keys=repeated)
    # All layers are read before the upper ones are dropped.
    dropped = footprint.FLOAT * (base.backbone - shape.backbone)
    return footprint.peak(common, [[Part("activations", kept)], [Part("dropped", dropped)]])


def _trained(shape: Shape, config: RewardConfig) -> int:
    return shape.backbone if config.train_layers is None else shape.top(config.train_layers)


def _phases(base: Shape, config: RewardConfig, data: GroupData, speed: Speed) -> list[Phase]:
    shape = base.first(config.backbone_layers)
    trained = shape.layers if config.train_layers is None else min(config.train_layers, shape.layers)
    forward = min(config.groups_per_forward, config.groups_per_step)
    steps = config.epochs * -(-len(data.train) // config.groups_per_step)
    one_pass = _seconds(shape, data.train, forward, speed)
    backward = 2 * one_pass * trained / shape.layers
    measuring = _seconds(shape, (*data.train, *data.heldout), 1, speed)
    has_probe = config.probe_floor or config.probe_l2 is not None
    return [
        *([Phase("probe", measuring)] if has_probe else []),
        Phase("learn", config.epochs * (one_pass + backward) + steps * speed.update(_trained(shape, config))),
        Phase("evaluate", measuring),
    ]


def _seconds(shape: Shape, groups: Sequence[GroupLengths], together: int, speed: Speed) -> float:
    """One forward pass over all groups, so many at a time; nothing is padded."""
    tokens = sum(group.tokens for group in groups)
    passes = -(-len(groups) // together)
    lengths = [group.prompt + answer for group in groups for answer in group.answers]
    length = sum(lengths) / len(lengths) if lengths else 0.0
    each = tokens / passes if passes else 0.0
    return passes * speed.forward(shape, sequences=each / length if length else 0.0, length=length)
