"""What a run will need of its machine, before it is queued: told to people, and refused where it cannot be had.

Refused is only what certainly cannot be: tensors that every step holds, greater than the memory and swap of every known
machine. All else is told and left to people.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from accounts.errors import Refused
from reward.training.config import RewardConfig
from reward.training.estimate import SMALLER_REWARD_MODEL, Estimate, GroupData, estimate_reward
from reward.training.shape import Shape
from reward.training.speed import Speed
from runs import kinds
from runs.models import Machine
from runs.queries import TimeRatio, machines_of, time_ratio

CLOSE_SHARE = 0.8
"""From this share of the memory on an estimate is too near to be trusted."""

UNCORRECTED = TimeRatio(1.0, 0)

Work = Callable[[Speed | None, Machine | None], Estimate]
"""(speed in the run's precision, the machine), None where it is not known -> what the run needs there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """machine: of those known the one with the least memory; None while none is known. estimate: None for a model
    whose sizes are not known. reach_bytes: memory and swap of the machine that has most."""

    estimate: Estimate | None
    machine: Machine | None = None
    reach_bytes: int = 0
    ratio: TimeRatio = UNCORRECTED
    remedy: str = ""
    """In the active language."""

    @property
    def level(self) -> str:
        """unknown, fits, close, exceeds, or cannot_fit."""
        if self.estimate is None or self.machine is None:
            return "unknown"
        if self.estimate.certain_bytes > self.reach_bytes:
            return "cannot_fit"
        if self.estimate.memory_bytes > self.machine.memory_bytes:
            return "exceeds"
        return "close" if self.estimate.memory_bytes > CLOSE_SHARE * self.machine.memory_bytes else "fits"

    @property
    def expected_seconds(self) -> float | None:
        """By arithmetic alone."""
        return None if self.estimate is None else self.estimate.seconds

    @property
    def seconds(self) -> float | None:
        """As earlier runs teach to correct it."""
        expected = self.expected_seconds
        return None if expected is None else expected * self.ratio.value

    def require_fit(self) -> None:
        """Raises Refused (`cannot_fit`) where no known machine can hold what every step needs."""
        if self.level != "cannot_fit":
            return
        assert self.estimate is not None
        raise Refused(
            _(
                "This run cannot fit: its weights, gradients and optimizer alone take %(needed).1f GiB, and no machine "
                "has more than %(there).1f GiB. To make it smaller, %(remedy)s."
            )
            % {
                "needed": self.estimate.certain_bytes / 2**30,
                "there": self.reach_bytes / 2**30,
                "remedy": self.remedy,
            },
            code="cannot_fit",
            status=409,
            details={"certain_bytes": self.estimate.certain_bytes, "machine_bytes": self.reach_bytes},
        )


def preflight(kind: str, work: Work | None, *, precision: str = "float32", remedy: str = "") -> Preflight:
    """What is known of a run of that kind before it begins.

    Args:
        work: None for a model whose sizes are not known.
        precision: the config's: auto, float32 or bfloat16-autocast.
        remedy: what makes such a run need less, in English.
    """
    machines = machines_of(kinds.queue_of(kind))
    if work is None:
        return Preflight(estimate=None, machine=machines[0] if machines else None)
    if not machines:
        return Preflight(estimate=work(None, None))
    machine = machines[0]
    return Preflight(
        estimate=work(_speed(machine, precision), machine),
        machine=machine,
        reach_bytes=max(each.memory_bytes + each.swap_bytes for each in machines),
        ratio=time_ratio(kind, machine),
        remedy=_(remedy),
    )


def reward_preflight(kind: str, base: Shape, data: GroupData | None, config: RewardConfig) -> Preflight:
    """Of a reward-model run from a language model of that shape."""

    def work(speed: Speed | None, _machine: Machine | None) -> Estimate:
        return estimate_reward(base, config, data, speed)

    return preflight(kind, work, precision=config.precision, remedy=SMALLER_REWARD_MODEL)


def _speed(machine: Machine, precision: str) -> Speed | None:
    """In the run's number format; None where it was not measured, as for bfloat16 where that is emulated."""
    bfloat16 = machine.has_bfloat16 if precision == "auto" else precision.startswith("bfloat16")
    rows: Sequence[dict[str, Any]] = machine.speeds.get("bfloat16" if bfloat16 else "float32", [])
    try:
        return Speed.read(rows)
    except (ValueError, KeyError, TypeError):
        return None
