"""The only way to get a run, or several, for a user."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.utils.translation import gettext as _

from accounts.access import RESEARCHES, get_in_workspace
from accounts.errors import Refused
from accounts.models import User
from runs import queries
from runs.models import Run

MIN_COMPARED = 2
MAX_COMPARED = 8
"""More lines than that in one chart nobody tells apart."""


def get_run(user: User | AnonymousUser, public_id: object, *, do: bool = False) -> Run:
    """A run of a workspace where the user is staff; labelers get 404. With `do`, managers get 403: researchers act."""
    runs = Run.objects.select_related("workspace", "created_by")
    return get_in_workspace(user, runs, public_id, do=RESEARCHES if do else None)


def get_compared(user: User | AnonymousUser, public_ids: Sequence[str]) -> list[Run]:
    """The runs of these ids in the order given, each once.

    Raises:
        Refused: fewer than 2 or more than 8 (`compare_count`), or one is none that the user may see (`run_unknown`).
    """
    wanted = {_uuid(public_id) or public_id for public_id in public_ids}
    if not MIN_COMPARED <= len(wanted) <= MAX_COMPARED:
        sentence = _("Choose %(min)d to %(max)d runs to compare; %(n)d were chosen.")
        raise Refused(sentence % {"min": MIN_COMPARED, "max": MAX_COMPARED, "n": len(wanted)}, code="compare_count")
    runs = find_runs(user, public_ids)
    if len(runs) < len(wanted):
        sentence = _("One of these runs is not here, or is not yours to see; choose again from the list of runs.")
        raise Refused(sentence, code="run_unknown", status=404)
    return runs


def find_runs(user: User | AnonymousUser, public_ids: Sequence[str]) -> list[Run]:
    """Those of the runs that the user may see, in the order given, each once; whatever else is named is passed over."""
    wanted = list(dict.fromkeys(filter(None, map(_uuid, public_ids))))
    found = {run.public_id: run for run in queries.run_list(user).filter(public_id__in=wanted)} if wanted else {}
    return [found[public_id] for public_id in wanted if public_id in found]


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
