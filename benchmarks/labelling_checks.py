"""What the database has after a load, against what people sent and what the server said it has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from django.db import connection

from annotation.models import Campaign, RankingItem
from annotation.submission import dense
from benchmarks.labelling_people import Said

TWICE = """
    SELECT count(*) FROM (
        SELECT 1 FROM annotation_ranking r JOIN annotation_task t ON t.id = r.task_id
        WHERE t.campaign_id = %(campaign)s AND r.superseded_by_id IS NULL AND r.withdrawn_at IS NULL
        GROUP BY r.task_id, r.labeler_id, r.repeat HAVING count(*) > 1
        UNION ALL
        SELECT 1 FROM annotation_lease l JOIN annotation_task t ON t.id = l.task_id
        WHERE t.campaign_id = %(campaign)s AND l.state IN ('active', 'submitted', 'skipped') AND l.revises_id IS NULL
        GROUP BY l.task_id, l.labeler_id, l.repeat HAVING count(*) > 1
    ) AS found
"""
COUNTS = """
    SELECT coalesce(sum(greatest(counted - overlap, 0)), 0),
           count(*) FILTER (WHERE free_slots <> overlap - counted - held)
    FROM (
        SELECT t.overlap, t.free_slots,
            (SELECT count(*) FROM annotation_ranking r LEFT JOIN annotation_lease l ON l.id = r.lease_id
             WHERE r.task_id = t.id AND r.superseded_by_id IS NULL AND r.withdrawn_at IS NULL
             AND coalesce(l.takes_slot, true)) AS counted,
            (SELECT count(*) FROM annotation_lease l
             WHERE l.task_id = t.id AND l.state = 'active' AND l.takes_slot) AS held
        FROM annotation_task t WHERE t.campaign_id = %(campaign)s
    ) AS tasks
"""


class Soundness(NamedTuple):
    """All must be 0 but the first."""

    num_acknowledged: int
    duplicates: int
    """Tasks that one person was given twice, rankings stored twice, and rankings that nobody sent."""
    over_collected: int
    """Rankings beyond the overlap of their task."""
    lost: int
    """Acknowledged and not stored as it was sent."""
    astray: int
    """Tasks whose free slots are not their overlap less rankings less leases that are held."""

    @property
    def is_sound(self) -> bool:
        return not any(self[1:])

    def plus(self, other: Soundness) -> Soundness:
        return Soundness(*(a + b for a, b in zip(self, other, strict=True)))


def examine(campaign: Campaign, ledgers: Iterable[Mapping[str, Said]]) -> Soundness:
    """Compare the campaign's rows with what its people sent: their leases and what they said of them."""
    sent: dict[str, Said] = {}
    for ledger in ledgers:
        sent |= ledger
    stored = _stored(campaign)
    acknowledged = {lease: said for lease, said in sent.items() if said.is_acknowledged}
    lost = sum(_ranks(said) not in stored.get(lease, {}).values() for lease, said in acknowledged.items())
    twice = sum(len(rankings) - 1 for rankings in stored.values())
    unsent = sum(
        lease not in sent or any(ranks != _ranks(sent[lease]) for ranks in rankings.values())
        for lease, rankings in stored.items()
    )
    with connection.cursor() as cursor:
        cursor.execute(TWICE, {"campaign": campaign.pk})
        given_twice = int(cursor.fetchone()[0])
        cursor.execute(COUNTS, {"campaign": campaign.pk})
        over, astray = (int(value) for value in cursor.fetchone())
    return Soundness(len(acknowledged), given_twice + twice + unsent, over, lost, astray)


def _stored(campaign: Campaign) -> dict[str, dict[int, dict[str, int | None]]]:
    """Lease -> ranking -> answer -> rank."""
    found: defaultdict[str, defaultdict[int, dict[str, int | None]]] = defaultdict(lambda: defaultdict(dict))
    items = RankingItem.objects.filter(ranking__task__campaign=campaign)
    columns = ("ranking__lease__public_id", "ranking", "completion__public_id", "rank")
    for lease, ranking, answer, rank in items.values_list(*columns).iterator():
        found[str(lease)][ranking][str(answer)] = rank
    return {lease: dict(rankings) for lease, rankings in found.items()}


def _ranks(said: Said) -> dict[str, int | None]:
    return dict(zip(said.ranks, dense(list(said.ranks.values())), strict=True))
