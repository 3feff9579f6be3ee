"""Short ways to a labeler's planned work, past the queue: leases and rankings are rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction

from accounts.writes import write_together
from annotation.models import Campaign, Labeler, Lease, Participation, Ranking, RankingItem, Task
from annotation.quality import QualityPlan
from annotation.services import add_known_order, update_campaign
from annotation.services.choosing import Chosen, choose_planned, count_submitted, note_submitted
from annotation.services.known_orders import Feedback
from annotation.services.queueing import NewTask
from annotation.states import LeaseState
from tests.cast import make_completions, make_prompt

NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)


def plan(campaign: Campaign, **settings: Any) -> QualityPlan:
    update_campaign(campaign=campaign, by=None, quality=settings)
    return QualityPlan.read(campaign.quality)


def make_known(
    campaign: Campaign, role: str = "gold", text: str = "Which is right?", answers: Sequence[str] = ("Right.", "Wrong.")
) -> Task:
    """A task whose answers are given in their order, the best first."""
    prompt = make_prompt(campaign, text)
    completions = [str(answer.public_id) for answer in make_completions(prompt, answers)]
    return add_known_order(
        campaign=campaign,
        by=None,
        task=NewTask(prompt_id=prompt.public_id, completion_ids=completions),
        role=role,
        ranks={answer: rank for rank, answer in enumerate(completions, start=1)},
        explanation="Because.",
    )


def order_of(task: Task, *ranks: int | None) -> dict[str, int]:
    """Ranks in the order of `TaskCompletion.position`; None: not checked."""
    items = task.items.select_related("completion")
    return {str(i.completion.public_id): rank for i, rank in zip(items, ranks, strict=True) if rank is not None}


def standing(campaign: Campaign, labeler: Labeler) -> Participation:
    return Participation.objects.get_or_create(campaign=campaign, labeler=labeler)[0]


def choose(campaign: Campaign, labeler: Labeler, *, num_held: int = 0, now: datetime = NOW) -> Chosen | None:
    return choose_planned(standing(campaign, labeler), QualityPlan.read(campaign.quality), num_held=num_held, now=now)


def lease_of(task: Task, labeler: Labeler, **rest: Any) -> Lease:
    shown = [str(item.completion.public_id) for item in task.items.select_related("completion")]
    return Lease.objects.create(**{"task": task, "labeler": labeler, "shown": shown, "expires_at": NOW, **rest})


def hold(chosen: Chosen, labeler: Labeler) -> Lease:
    lease = lease_of(chosen.task, labeler, repeat=chosen.repeat, takes_slot=False)
    if chosen.shown is not None:
        Lease.objects.filter(pk=lease.pk).update(shown=chosen.shown)
        lease.refresh_from_db()
    return lease


@transaction.atomic
def say(lease: Lease, ranks: Sequence[int | None], **rest: Any) -> tuple[Ranking, Feedback | None]:
    """A ranking is stored as a submit stores it; `ranks` are in the order of `TaskCompletion.position`."""
    task = lease.task
    Lease.objects.filter(pk=lease.pk).update(state=LeaseState.SUBMITTED)
    ranking = Ranking.objects.create(
        **{
            "lease": lease,
            "task": task,
            "labeler": lease.labeler,
            "repeat": lease.repeat,
            "protocol": task.campaign.protocol,
            "guideline_version": task.campaign.guidelines.order_by("-number").first(),
            "body_sha256": "ab" * 32,
            **rest,
        }
    )
    for item, rank in zip(task.items.select_related("completion"), ranks, strict=True):
        RankingItem.objects.create(
            ranking=ranking,
            completion=item.completion,
            position_shown=lease.shown.index(str(item.completion.public_id)),
            rank=rank,
        )
    campaign = Campaign.objects.get(pk=task.campaign_id)
    participation = standing(campaign, lease.labeler)
    if (counted := count_submitted(lease, participation, at=ranking.created_at)) is not None:
        write_together(counted=counted)
    return ranking, note_submitted(lease, ranking, participation, QualityPlan.read(campaign.quality))


def tomorrow() -> datetime:
    return NOW + timedelta(days=1)
