"""The reads of a claim: which task comes next for a labeler. Their SQL is written once for each kind of labeler."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from django.db.models import Subquery

from accounts.statements import Given, Statement
from annotation.models import Participation, Task
from annotation.querysets import TaskQuerySet, for_reader, unguessed, unseen


class Offers(NamedTuple):
    """Each is asked for a `campaign` and a `labeler`, most from a place on (`priority`, `task`)."""

    came_back: Statement[Task]
    """Nobody's, up to the place, with a slot that came back after `since`."""
    free: Statement[Task]
    """Nobody's, after the place; tasks that somebody has locked are stepped over. `head` is the key of the first after
    the place, locked or not."""
    any_left: Statement[Task]
    """The first of all; one that is locked is waited for."""


BEGINNING = (-(2**31), 0)
"""The place before all others."""


def offers_for(standing: Participation, purpose: str | None) -> Offers:
    return _offers(tuple(standing.languages), tuple(standing.skills), purpose)


@lru_cache(maxsize=256)
def _offers(languages: tuple[str, ...], skills: tuple[str, ...], purpose: str | None) -> Offers:
    campaign, labeler, priority, task = (unseen(Given(name)) for name in ("campaign", "labeler", "priority", "task"))
    place = priority, task

    def offered() -> TaskQuerySet:
        tasks = Task.objects.select_related("prompt").with_answers().filter(campaign=campaign)
        if purpose is not None:
            tasks = tasks.filter(purpose=purpose)
        reader = Participation(languages=list(languages), skills=list(skills))
        return tasks.open().filter(unguessed(for_reader(reader))).not_met_by(labeler)

    def after() -> TaskQuerySet:
        return offered().after(*place).in_queue_order()

    return Offers(
        # In the order of an index that holds nothing else: by priority, the whole queue might be walked instead.
        came_back=Statement(
            lambda: (
                offered()
                .filter(returned_at__gt=Given("since"))
                .up_to(*place)
                .order_by("returned_at")
                .select_for_update(skip_locked=True, no_key=True, of=("self",))[:1]
            )
        ),
        free=Statement(
            lambda: (
                after()
                .annotate(head=Subquery(after().values("pk")[:1]))
                .select_for_update(skip_locked=True, no_key=True, of=("self",))[:1]
            )
        ),
        any_left=Statement(lambda: offered().in_queue_order().select_for_update(no_key=True, of=("self",))[:1]),
    )
