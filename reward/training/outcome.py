"""How a run ends: outcome.json, and what makes it fail in words for people."""

from __future__ import annotations

import errno
import math
import resource
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from reward.training.files import replace_json

Status = Literal["succeeded", "failed", "cancelled"]
RESERVE = ".reserve"


class TrainingRefused(Exception):
    """An expected failure: one sentence for people and a code. It becomes the failed outcome of the run."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a handler returns. Artifacts are paths below the run directory; None in metrics means unknown."""

    status: Literal["succeeded", "cancelled"] = "succeeded"
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    artifacts: Mapping[str, Path] = field(default_factory=dict)


def write_outcome(
    path: Path,
    status: Status,
    metrics: Mapping[str, float | None],
    artifacts: Mapping[str, Mapping[str, str]],
    error: TrainingRefused | None,
    *,
    seconds: float,
) -> None:
    (path / RESERVE).unlink(missing_ok=True)
    known = {k: float(v) if v is not None and math.isfinite(v) else None for k, v in metrics.items()}
    outcome = {
        "status": status,
        "error": None if error is None else {"code": error.code, "message": error.message},
        "metrics": known,
        "artifacts": artifacts,
        "seconds": seconds,
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    replace_json(path / "outcome.json", outcome)


def disk_is_full(error: BaseException) -> bool:
    """Whether `error` (or its cause) says that no space is left; safetensors says it only in its message."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    if f"os error {errno.ENOSPC}" in str(error):
        return True
    return error.__cause__ is not None and disk_is_full(error.__cause__)
