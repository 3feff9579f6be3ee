"""The worker's side of a run directory: spec and inputs in, outcome out.

The process's side is reward/training/rundir.py.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from accounts.errors import Refused
from runs.events import clean
from runs.models import Run
from runs.states import RunState

PRIVATE = 0o700
MAX_OUTCOME_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """outcome.json, checked. `artifacts` are existing paths inside the run directory."""

    state: RunState
    error_code: str
    error_message: str
    summary: dict[str, Any]
    """What the row keeps: metrics, seconds, peak_rss_mib."""
    artifacts: Mapping[str, Path]


class WorkerRunDirectory:
    """RUNS_DIR/<public id of the run>."""

    def __init__(self, run: Run) -> None:
        self.path = Path(settings.RUNS_DIR) / str(run.public_id)
        self.log = self.path / "log.txt"
        self.events = self.path / "events.jsonl"
        self.inputs = self.path / "inputs"

    def make(self) -> None:
        """Create the directory, private to this user; a resumed run finds its own."""
        self.path.parent.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        self.path.mkdir(mode=PRIVATE, exist_ok=True)
        (self.path / "control").unlink(missing_ok=True)

    def write_spec(self, run: Run, *, threads: int, device: str) -> None:
        inputs = {
            name: {"path": str(self.inputs / name), "sha256": entry["sha256"]} for name, entry in run.inputs.items()
        }
        spec = {
            "format": 1,
            "run": str(run.public_id),
            "kind": run.kind,
            "attempt": run.attempt,
            "seed": run.seed,
            "config": run.config,
            "inputs": inputs,
            "threads": threads,
            "device": device,
        }
        self._replace_json("run.json", spec)

    def request_cancel(self) -> None:
        self._replace_json("control", {"command": "cancel"})

    def outcome(self) -> Outcome | None:
        """What the process left behind, or None if it left nothing that can be read.

        Raises:
            Refused: the outcome names an artifact that is not there or lies outside the directory (`outcome_invalid`).
        """
        try:
            with (self.path / "outcome.json").open("rb") as handle:
                data = json.loads(handle.read(MAX_OUTCOME_BYTES), parse_constant=lambda _constant: None)
            error = data.get("error") or {}
            return Outcome(
                state=RunState(data["status"]),
                error_code=clean(error.get("code", "")),
                error_message=clean(error.get("message", "")),
                summary={key: data.get(key) for key in ("metrics", "seconds", "peak_rss_mib")},
                artifacts={name: self._inside(entry["path"]) for name, entry in (data.get("artifacts") or {}).items()},
            )
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def tidy(self) -> None:
        """Remove what a finished run needs no more: inputs and artifacts are in the store, and nobody resumes."""
        for name in ("inputs", "checkpoints", "artifacts"):
            shutil.rmtree(self.path / name, ignore_errors=True)

    def _inside(self, name: str) -> Path:
        path = (self.path / name).resolve()
        if not (path.is_relative_to(self.path.resolve()) and path.exists()):
            raise Refused(
                _("The process named an artifact that is not in its directory: %(name)s.") % {"name": name[:200]},
                code="outcome_invalid",
            )
        return path

    def _replace_json(self, name: str, data: Any) -> None:
        temporary = self.path / f".{name}.worker"
        with temporary.open("w", encoding="utf-8") as handle:
            json.dump(data, handle, indent=1)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(self.path / name)
