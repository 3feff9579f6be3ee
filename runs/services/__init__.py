"""Every mutation of a run has one door here."""

from __future__ import annotations

from runs.services.events import record_events
from runs.services.machines import tell_machine
from runs.services.moves import Artifact, Beat, StaleAttempt, claim_run, finish_run, heartbeat, requeue_run
from runs.services.recovery import nudge_next, recover_runs
from runs.services.requests import InputRef, cancel_run, create_run

__all__ = [
    "Artifact",
    "Beat",
    "InputRef",
    "StaleAttempt",
    "cancel_run",
    "claim_run",
    "create_run",
    "finish_run",
    "heartbeat",
    "nudge_next",
    "record_events",
    "recover_runs",
    "requeue_run",
    "tell_machine",
]
