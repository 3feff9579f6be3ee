"""What pages and the API read about campaigns; each a fixed number of queries."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np
from django.contrib.auth.models import AnonymousUser
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Aggregate, Count, FloatField, Func, IntegerField, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from accounts.models import User
from annotation.access import campaigns_worked_by, id_of
from annotation.agreement import Agreement, agreement_of, preferred
from annotation.models import (
    Campaign,
    Completion,
    Exclusion,
    Labeler,
    Lease,
    Participation,
    Prompt,
    Purpose,
    Ranking,
    Task,
    TaskRole,
)
from annotation.pairs import counted_rankings, current_rankings
from annotation.querysets import for_reader
from annotation.states import LeaseState
from annotation.votes import Said, said_by_labelers

MAX_COUNTED = 1000
"""Tasks that wait for a labeler are counted so far."""


class Median(Aggregate):
    """The median of what is not null; of an even number, the mean of the two in the middle."""

    function = "percentile_cont"
    template = "%(function)s(0.5) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = FloatField()


class Progress(NamedTuple):
    num_prompts: int
    num_completions: int
    num_tasks: int
    num_open_tasks: int
    """Tasks with a free slot."""
    num_open_slots: int
    num_active_leases: int
    num_rankings: int
    num_wanted: int
    """Rankings that the tasks ask for in all."""

    @property
    def share(self) -> float:
        """Share of the rankings that are in, in [0, 1]."""
        return self.num_rankings / self.num_wanted if self.num_wanted else 0.0


class LabelerStats(NamedTuple):
    labeler: Labeler
    num_rankings: int
    num_skipped: int
    median_seconds: float | None
    """Median of active seconds per ranking."""
    agreement: float | None
    """How often their preference is the majority of the others' preferences; as `Agreement.leave_one_out`."""
    num_compared: int
    exclusion: Exclusion | None
    """In force: their rankings are counted here and nowhere else."""


class WorkItem(NamedTuple):
    campaign: Campaign
    num_open: int
    """Tasks that would be offered to this labeler now, counted up to `MAX_COUNTED`."""
    has_more: bool
    """There are more than `num_open`."""
    num_done: int
    lease: Lease | None
    """The task they hold."""


def campaign_progress(campaign: Campaign, *, purpose: str | None = None) -> Progress:
    """Counts of a campaign, in five queries; with a purpose those of its tasks only.

    Tasks with a known order and planned repeats are beside what is wanted: neither is counted.
    """
    tasks = Task.objects.not_archived().filter(campaign=campaign, role=TaskRole.WORK)
    if purpose is not None:
        tasks = tasks.filter(purpose=purpose)
    counts = tasks.aggregate(
        num_tasks=Count("pk"),
        num_open_tasks=Count("pk", filter=Q(free_slots__gt=0)),
        num_open_slots=Coalesce(Sum("free_slots"), 0),
        num_wanted=Coalesce(Sum("overlap"), 0),
    )
    return Progress(
        num_prompts=Prompt.objects.filter(campaign=campaign).count(),
        num_completions=Completion.objects.filter(prompt__campaign=campaign).count(),
        num_active_leases=Lease.objects.active().filter(task__in=tasks).count(),
        num_rankings=Ranking.objects.current().filter(task__in=tasks, repeat=0).count(),
        **counts,
    )


def agreement(campaign: Campaign, *, split: str | None = None) -> Agreement:
    """How far the campaign's labelers agree on the pairs that they judged; see `annotation.agreement`."""
    rankings = counted_rankings(campaign)
    if split is not None:
        rankings = rankings.filter(task__prompt__split=split)
    return agreement_of(said_by_labelers(rankings).units)


class WithAndWithout(NamedTuple):
    """Agreement of those whose rankings count and one labeler, and of the same people without that one."""

    with_labeler: Agreement
    without: Agreement


def agreement_with_and_without(campaign: Campaign, labeler: Labeler) -> WithAndWithout:
    """What a labeler does to the campaign's agreement, whether they are set aside or not."""
    counted = counted_rankings(campaign)
    both = current_rankings(campaign).filter(Q(pk__in=counted) | Q(labeler=labeler))
    without = counted.exclude(labeler=labeler)
    return WithAndWithout(*(agreement_of(said_by_labelers(rankings).units) for rankings in (both, without)))


def said_in(campaign: Campaign) -> Said:
    """The campaign's votes. Labelers who are set aside are compared with the others; no one is compared with them."""
    aside = Exclusion.objects.in_force().filter(campaign=campaign).values_list("labeler", flat=True)
    return said_by_labelers(current_rankings(campaign), list(aside))


def labeler_stats(campaign: Campaign, said: Said | None = None) -> list[LabelerStats]:
    """What each labeler did in the campaign, by name; those who neither ranked nor skipped anything are not in it.

    Args:
        said: `said_in` the campaign, where it has been read already.
    """
    rankings = current_rankings(campaign)
    aside = {row.labeler_id: row for row in Exclusion.objects.in_force().filter(campaign=campaign)}
    ranked = rankings.order_by().values("labeler").annotate(num=Count("pk"), seconds=Median("active_seconds"))
    done = {row["labeler"]: row for row in ranked}
    skips = Lease.objects.filter(task__campaign=campaign, state=LeaseState.SKIPPED).order_by()
    num_skipped = dict(skips.values_list("labeler").annotate(Count("pk")))
    agreed = _agreed_with_others(said or said_in(campaign))
    stats = []
    for labeler in Labeler.objects.filter(pk__in={*done, *num_skipped}).order_by("name", "pk"):
        num_agreed, num_compared = agreed.get(labeler.pk, (0, 0))
        stats.append(
            LabelerStats(
                labeler=labeler,
                num_rankings=done[labeler.pk]["num"] if labeler.pk in done else 0,
                num_skipped=num_skipped.get(labeler.pk, 0),
                median_seconds=done[labeler.pk]["seconds"] if labeler.pk in done else None,
                agreement=num_agreed / num_compared if num_compared else None,
                num_compared=num_compared,
                exclusion=aside.get(labeler.pk),
            )
        )
    return stats


def _agreed_with_others(said: Said) -> dict[int, tuple[int, int]]:
    """labeler -> (agreed, compared), where they and the majority of the others who count have a preference."""
    others = said.others
    majority = preferred(others.values)
    is_compared = (majority != 0) & (said.outcomes != 0)
    found: dict[int, tuple[int, int]] = {}
    for labeler in np.unique(said.labelers).tolist():
        mine = is_compared & (said.labelers == labeler)
        found[labeler] = (int(others.times[mine & (majority == said.outcomes)].sum()), int(others.times[mine].sum()))
    return found


def work_for(user: User | AnonymousUser) -> list[WorkItem]:
    """The open campaigns in which the user has a seat, with what is left for them there."""
    for_them = _for_reader_of(Participation.objects.filter(labeler__user_id=id_of(user)))
    offered = Task.objects.open().filter(for_them, campaign=OuterRef("pk")).not_ranked_by_user(id_of(user))
    done = Ranking.objects.current().filter(task__campaign=OuterRef("pk"), labeler__user_id=id_of(user))
    campaigns = campaigns_worked_by(user).annotate(
        # Counted no further than anybody wants to know: a queue may hold a million.
        num_open=Func(ArraySubquery(offered.in_queue_order().values("pk")[: MAX_COUNTED + 1]), function="CARDINALITY"),
        num_done=_grouped(done.order_by().values("task__campaign"), Count("pk")),
    )
    held = Lease.objects.active().filter(labeler__user_id=id_of(user), task__campaign__in=campaigns_worked_by(user))
    leases = {lease.task.campaign_id: lease for lease in held.select_related("task").order_by("-pk")}
    return [
        WorkItem(
            campaign,
            min(campaign.num_open, MAX_COUNTED),
            campaign.num_open > MAX_COUNTED,
            campaign.num_done,
            leases.get(campaign.pk),
        )
        for campaign in campaigns
    ]


def _for_reader_of(standings: QuerySet[Participation]) -> Q:
    """`for_reader` where each campaign has its own standing; where there is none, nothing is known of the labeler."""
    told = list(standings.exclude(languages=[], skills=[]))
    found = ~Q(campaign__in=[standing.campaign_id for standing in told]) & for_reader(Participation())
    for standing in told:
        found |= Q(campaign=standing.campaign_id) & for_reader(standing)
    return found


def _grouped(rows: QuerySet[Any, Any], number: Aggregate) -> Coalesce:
    """A number per campaign by a correlated subquery; an aggregate after a join would count the join's rows."""
    return Coalesce(Subquery(rows.annotate(n=number).values("n"), output_field=IntegerField()), 0)


def waiting_couples(campaign: Campaign) -> list[tuple[str, str]]:
    """Public ids of the answers of every task of two that somebody can still be given."""
    open_tasks = campaign.tasks.filter(purpose=Purpose.COLLECT, archived_at=None, free_slots__gt=0)
    found: defaultdict[int, list[str]] = defaultdict(list)
    for task, answer in open_tasks.values_list("pk", "completions__public_id").order_by("pk"):
        found[task].append(str(answer))
    return [(answers[0], answers[1]) for answers in found.values() if len(answers) == 2]
