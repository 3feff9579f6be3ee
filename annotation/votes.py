"""What rankings say of pairs, counted by the database: a large campaign's rankings say millions of things.

The reading is that of `annotation.pairs`. A vote is what one labeler said of one pair of answers of one task, its
unit.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet

from annotation.agreement import Counts, Ints
from annotation.models import Protocol, Ranking

VOTES = """
    SELECT ranking.task_id, first.completion_id AS first_id, second.completion_id AS second_id,
           ranking.labeler_id, sign(second.rank - first.rank)::int AS outcome
    FROM annotation_ranking ranking
    JOIN annotation_rankingitem first ON first.ranking_id = ranking.id
    JOIN annotation_rankingitem second ON second.ranking_id = ranking.id AND second.completion_id > first.completion_id
    WHERE ranking.id IN ({rankings}) AND first.rank IS NOT NULL AND second.rank IS NOT NULL
      AND NOT (ranking.protocol = %s AND first.rank = second.rank)
"""
UNIT = """
    SELECT task_id, first_id, second_id, count(*) FILTER (WHERE outcome = -1) AS worse,
           count(*) FILTER (WHERE outcome = 0) AS equal, count(*) FILTER (WHERE outcome = 1) AS better
    FROM vote
    WHERE labeler_id <> ALL(%s)
    GROUP BY task_id, first_id, second_id
"""
UNITS = """
    WITH vote AS ({votes}), unit AS ({unit})
    SELECT worse, equal, better, count(*)
    FROM unit
    GROUP BY worse, equal, better
"""
BY_LABELER = """
    WITH vote AS ({votes}), unit AS ({unit})
    SELECT labeler_id, outcome, worse, equal, better, count(*)
    FROM vote JOIN unit USING (task_id, first_id, second_id)
    GROUP BY labeler_id, outcome, worse, equal, better
"""


def unit_counts(rankings: QuerySet[Ranking]) -> Counts:
    """How many units have so many votes of each value."""
    found = _fetch(UNITS, rankings, (), width=4)
    return Counts(found[:, :3], found[:, 3])


def others_by_labeler(rankings: QuerySet[Ranking], aside: Collection[int]) -> tuple[Ints, Ints, Counts]:
    """What labelers said beside what the others did, votes alike together.

    Args:
        aside: labelers whose votes are compared with the others', and with whose votes nobody's are.

    Returns:
        Labelers [N], their outcomes [N], and how many of their votes stand beside so many of others of each value.
    """
    found = _fetch(BY_LABELER, rankings, aside, width=6)
    labelers, outcomes, counts = found[:, 0], found[:, 1], found[:, 2:5]
    rows = np.flatnonzero(~np.isin(labelers, list(aside)))
    counts[rows, outcomes[rows] + 1] -= 1
    return labelers, outcomes, Counts(counts, found[:, 5])


def _fetch(sql: str, rankings: QuerySet[Ranking], aside: Collection[int], *, width: int) -> Ints:
    """[rows, width]; units have no votes of those who are aside."""
    try:
        chosen, chosen_params = rankings.order_by().values("pk").query.sql_with_params()
    except EmptyResultSet:
        return np.zeros((0, width), dtype=np.int64)
    with connection.cursor() as cursor:
        whole = sql.format(votes=VOTES.format(rankings=chosen), unit=UNIT)
        cursor.execute(whole, [*chosen_params, Protocol.BEST, list(aside)])
        return np.array(cursor.fetchall(), dtype=np.int64).reshape(-1, width)
