"""The settings of the test kind, apart from Django: its process reads them too."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CountConfig:
    """How far `runs.tests.child` counts, and how it misbehaves on its first attempt (or on all)."""

    steps: int = 4
    step_seconds: float = 0.0
    checkpoint_every: int = 2
    say: str = ""
    fault: str = ""
    fault_step: int = 3
    is_fault_lasting: bool = False
    is_deaf: bool = False
    is_outcome_refused: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps ({self.steps}) must be at least 1")
