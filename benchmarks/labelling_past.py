"""What people ranked before: in a database where nobody has, PostgreSQL plans to read all leases and rankings."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils import timezone

from accounts.models import User, Workspace
from annotation.models import Lease, Ranking, RankingItem, Task
from annotation.services import close_campaign, labeler_for
from annotation.states import LeaseState
from benchmarks import labelling_data

NUM_TASKS = 200


def work_before(workspace: Workspace, users: Sequence[User], *, completions_per_task: int) -> None:
    """Everybody has ranked every task of a campaign that is closed by now; rows are made at a stroke."""
    past = labelling_data.campaign(
        workspace, [], name="Before", num_tasks=NUM_TASKS, completions_per_task=completions_per_task, overlap=len(users)
    )
    labelers, now = [labeler_for(workspace=workspace, user=user) for user in users], timezone.now()
    tasks = list(Task.objects.filter(campaign=past).prefetch_related("items"))
    leases = Lease.objects.bulk_create(
        Lease(task=task, labeler=labeler, state=LeaseState.SUBMITTED, shown=[], expires_at=now, ended_at=now)
        for task in tasks
        for labeler in labelers
    )
    rankings = Ranking.objects.bulk_create(
        Ranking(lease=lease, task=lease.task, labeler=lease.labeler, protocol=past.protocol, body_sha256="")
        for lease in leases
    )
    RankingItem.objects.bulk_create(
        RankingItem(
            ranking=ranking, completion_id=item.completion_id, position_shown=item.position, rank=item.position + 1
        )
        for ranking in rankings
        for item in ranking.task.items.all()
    )
    Task.objects.filter(campaign=past).update(free_slots=0)
    close_campaign(campaign=past, by=None)
