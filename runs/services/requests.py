"""What people and other rooms ask for: a run, and its end."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.enqueue import enqueue
from accounts.errors import IllegalTransition, Refused
from accounts.models import AuditEvent, User, Workspace
from runs import kinds
from runs.artifacts import store
from runs.models import Run
from runs.states import RunState

EXECUTE = "runs.tasks.execute_run"
MAX_SEED = 2**63 - 1


@dataclass(frozen=True, slots=True)
class InputRef:
    """An input by hash: a file of the artifact store, or a directory by its manifest; `label` is for people."""

    sha256: str
    is_directory: bool
    label: str


@transaction.atomic
def create_run(
    *,
    workspace: Workspace,
    by: User | None,
    kind: str,
    title: str,
    config: Mapping[str, Any],
    inputs: Mapping[str, InputRef],
    seed: int = 0,
    context: Mapping[str, Any] | None = None,
    expected_seconds: float | None = None,
) -> Run:
    """Write down a run, frozen, with every setting filled in.

    Also: a worker of the kind's queue is told after commit.

    Raises:
        Refused: `unknown_kind`, `config_invalid`, `seed_invalid`, or the store lacks an input (`artifact_missing`).
    """
    known = kinds.get(kind)
    if isinstance(seed, bool) or not 0 <= seed <= MAX_SEED:
        raise Refused(_("The seed must be a whole number from 0 to %(max)d.") % {"max": MAX_SEED}, code="seed_invalid")
    _require_inputs(inputs)
    run = Run.objects.create(
        workspace=workspace,
        created_by=by,
        kind=kind,
        title=title[:200],
        config=known.full_config(config),
        seed=seed,
        code_version=code_version(),
        inputs={name: _input_row(ref) for name, ref in inputs.items()},
        context=dict(context or {}),
        expected_seconds=expected_seconds,
        heartbeat_at=timezone.now(),
    )
    AuditEvent.record(workspace=workspace, actor=by, verb="run.create", target=run, kind=kind)
    enqueue(EXECUTE, run.pk, queue=known.queue)
    return run


@transaction.atomic
def cancel_run(*, run: Run, by: User | None) -> Run:
    """End a queued run at once; ask a running one to stop at its next step. Asking twice changes nothing.

    Raises:
        IllegalTransition: the run is over (`run_finished`).
    """
    now = timezone.now()
    rows = Run.objects.filter(pk=run.pk)
    moved = rows.filter(state=RunState.QUEUED).update(
        state=RunState.CANCELLED, cancel_requested_at=now, finished_at=now
    ) or rows.filter(state=RunState.RUNNING, cancel_requested_at=None).update(cancel_requested_at=now)
    run.refresh_from_db()
    if moved:
        AuditEvent.record(workspace=run.workspace, actor=by, verb="run.cancel", target=run)
    elif run.is_finished:
        raise IllegalTransition(_("This run is over already; there is nothing to cancel."), code="run_finished")
    return run


def _require_inputs(inputs: Mapping[str, InputRef]) -> None:
    for name, ref in inputs.items():
        if not store().exists(ref.sha256):
            raise Refused(
                _("The input %(name)s (%(label)s) is not in the artifact store.") % {"name": name, "label": ref.label},
                code="artifact_missing",
                status=409,
            )


def _input_row(ref: InputRef) -> dict[str, str]:
    return {"sha256": ref.sha256, "type": "dir" if ref.is_directory else "file", "label": ref.label}


@cache
def code_version() -> str:
    """The source's commit (with + where it was edited), or nothing where the site does not run from a checkout."""
    root = Path(__file__).resolve().parent.parent.parent
    if not (root / ".git").exists():
        return ""
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=10).stdout.strip()[:80]
    except (OSError, subprocess.TimeoutExpired):
        return ""
