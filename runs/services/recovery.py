"""What beat does for runs: the database is the truth, and a lost message or a dead worker loses nothing."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.enqueue import enqueue
from runs import kinds
from runs.models import Run
from runs.services.moves import StaleAttempt, finish_run, requeue_run
from runs.services.requests import EXECUTE
from runs.states import RunState

NUDGE_EVERY_SECONDS = 60
"""A queued row gets a new message this often: workers may be busy for hours, and messages should not pile up."""


def recover_runs() -> int:
    """Move runs whose worker died back to the queue (or to their end) and nudge rows whose message may be lost.

    Returns how many runs moved.
    """
    cutoff = timezone.now() - timedelta(seconds=settings.RUN_DEAD_AFTER_SECONDS)
    dead = Run.objects.filter(state=RunState.RUNNING, heartbeat_at__lt=cutoff)
    moved = sum(_recover(*row) for row in dead.values_list("pk", "attempt", "max_attempts"))
    _nudge_forgotten()
    return moved


def nudge_next(*, after: Run) -> None:
    """Tell the queue's workers of its oldest waiting run; a worker that is done with `after` calls this."""
    queue = kinds.queue_of(after.kind)
    names = [kind.name for kind in kinds.all_kinds() if kind.queue == queue]
    waiting = Run.objects.filter(state=RunState.QUEUED, kind__in=names).exclude(pk=after.pk)
    oldest = waiting.order_by("pk").values_list("pk", flat=True).first()
    if oldest is not None:
        enqueue(EXECUTE, oldest, queue=queue)


@transaction.atomic
def _recover(run_id: int, attempt: int, max_attempts: int) -> int:
    cutoff = timezone.now() - timedelta(seconds=settings.RUN_DEAD_AFTER_SECONDS)
    # The row lock keeps a heartbeat that comes this very moment from being overruled.
    still_dead = Run.objects.select_for_update().filter(
        pk=run_id, state=RunState.RUNNING, attempt=attempt, heartbeat_at__lt=cutoff
    )
    row = still_dead.values("cancel_requested_at").first()
    if row is None:
        return 0
    try:
        if attempt >= max_attempts and row["cancel_requested_at"] is None:
            message = _("The worker died in each of %(n)d attempts; the last lines of the log say more.")
            finish_run(
                run_id=run_id,
                attempt=attempt,
                state=RunState.FAILED,
                error_code="worker_lost",
                error_message=message % {"n": attempt},
            )
        else:
            reason = _("The worker of attempt %(n)d stopped answering; the run goes on from its last checkpoint.")
            requeue_run(
                run_id=run_id, attempt=attempt, code="worker_lost", reason=reason % {"n": attempt}, is_fault=True
            )
    except StaleAttempt:
        return 0
    return 1


def _nudge_forgotten() -> None:
    now = timezone.now()
    waiting = Run.objects.filter(state=RunState.QUEUED)
    due = waiting.exclude(heartbeat_at__gt=now - timedelta(seconds=NUDGE_EVERY_SECONDS)).order_by("pk")
    for run_id, kind in due.values_list("pk", "kind"):
        # On a queued row heartbeat_at is the time of its last message.
        if waiting.filter(pk=run_id).update(heartbeat_at=now):
            enqueue(EXECUTE, run_id, queue=kinds.queue_of(kind))
