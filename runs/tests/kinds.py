"""A kind of run for tests; a Celery worker of the tests imports this module (`--include`)."""

from __future__ import annotations

from django.utils import timezone

from accounts.errors import Refused
from runs import kinds
from runs.models import Run, RunNote
from runs.tests.counting import CountConfig


def take_in(run: Run) -> None:
    """Leaves a note for every outcome taken in, so that tests can count them."""
    RunNote.objects.create(run=run, code="taken_in", message=str(run.outcome), created_at=timezone.now())
    if run.config["is_outcome_refused"]:
        raise Refused("The campaign was archived meanwhile.", code="campaign_archived")


kinds.register(
    kinds.RunKind(
        name="test.count", title="Counting", module="runs.tests.child", config=CountConfig, on_outcome=take_in
    )
)
