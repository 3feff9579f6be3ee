"""A process's events become rows."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from runs.events import EventBatch, Note
from runs.models import RunMetric, RunNote, RunSample
from runs.services.moves import Beat, heartbeat

BATCH_ROWS = 2000


@transaction.atomic
def record_events(
    *, run_id: int, attempt: int, batch: EventBatch, progress: dict[str, Any] | None = None, restarted: bool = False
) -> Beat:
    """Store metrics, samples, progress and notes, and beat. Told again, the same events change nothing.

    Args:
        restarted: the batch begins at the first line of an attempt's events, which were cut back to its checkpoint:
            metrics and samples of later steps that an earlier attempt left are removed first.

    Raises:
        StaleAttempt: the run is no longer this attempt's; nothing is stored.
    """
    beat = heartbeat(run_id=run_id, attempt=attempt, **({} if progress is None else {"progress": progress}))
    if restarted:
        for model in (RunMetric, RunSample):
            model._default_manager.filter(run_id=run_id, step__gt=batch.checkpoint).delete()
    _put_metrics(run_id, batch)
    _put_samples(run_id, batch)
    _add_notes(run_id, [*batch.notes, *_complaint(batch)])
    return beat


def _put_metrics(run_id: int, batch: EventBatch) -> None:
    rows = [
        RunMetric(run_id=run_id, step=step, name=name, value=value) for (step, name), value in batch.metrics.items()
    ]
    RunMetric.objects.bulk_create(
        rows,
        batch_size=BATCH_ROWS,
        update_conflicts=True,
        unique_fields=["run", "step", "name"],
        update_fields=["value"],
    )


def _put_samples(run_id: int, batch: EventBatch) -> None:
    rows = [
        RunSample(run_id=run_id, step=step, index=index, prompt=said.prompt, text=said.text, values=said.values)
        for (step, index), said in batch.samples.items()
    ]
    RunSample.objects.bulk_create(
        rows,
        batch_size=BATCH_ROWS,
        update_conflicts=True,
        unique_fields=["run", "step", "index"],
        update_fields=["prompt", "text", "values"],
    )


def _complaint(batch: EventBatch) -> list[Note]:
    if not batch.num_bad:
        return []
    message = _("%(n)d lines of events.jsonl could not be read and were passed over.") % {"n": batch.num_bad}
    return [Note(level="warning", code="events_unreadable", message=message, time=timezone.now())]


def _add_notes(run_id: int, notes: list[Note]) -> None:
    for note in notes:
        same = Q(run_id=run_id, code=note.code, message=note.message, created_at=note.time)
        if not RunNote.objects.filter(same).exists():
            RunNote.objects.create(
                run_id=run_id, code=note.code, message=note.message, level=note.level, created_at=note.time
            )
