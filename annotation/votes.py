"""What rankings say of pairs, counted by the database: a large campaign's rankings say millions of things.

The reading is that of `annotation.pairs`. A vote is what one labeler said of one pair of answers of one task, its
unit.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet

from annotation.agreement import Counts, Ints
from annotation.models import Protocol, Ranking

READ = """
    WITH chosen AS MATERIALIZED ({rankings}), vote AS (
        SELECT task_id, first.completion_id AS first_id, second.completion_id AS second_id, chosen.labeler_id,
               sign(second.rank - first.rank)::int AS outcome, chosen.labeler_id <> ALL(%s) AS is_counted
        FROM chosen
        JOIN (SELECT task_id FROM chosen GROUP BY task_id HAVING count(*) > 1) together USING (task_id)
        JOIN annotation_rankingitem first ON first.ranking_id = chosen.id
        JOIN annotation_rankingitem second
            ON second.ranking_id = chosen.id AND second.completion_id > first.completion_id
        WHERE first.rank IS NOT NULL AND second.rank IS NOT NULL
          AND NOT (chosen.protocol = %s AND first.rank = second.rank)
    ), beside AS (
        SELECT labeler_id, outcome, is_counted,
               count(*) FILTER (WHERE is_counted AND outcome = -1) OVER unit AS worse,
               count(*) FILTER (WHERE is_counted AND outcome = 0) OVER unit AS equal,
               count(*) FILTER (WHERE is_counted AND outcome = 1) OVER unit AS better
        FROM vote
        WINDOW unit AS (PARTITION BY task_id, first_id, second_id)
    )
    SELECT labeler_id, outcome, is_counted, worse, equal, better, count(*)
    FROM beside
    GROUP BY labeler_id, outcome, is_counted, worse, equal, better
"""


class Said(NamedTuple):
    """What labelers said of units, votes that are alike together: [N]."""

    labelers: Ints
    outcomes: Ints
    is_counted: np.ndarray[Any, np.dtype[np.bool_]]
    """Whether the labeler is not set aside."""
    beside: Counts
    """The votes of the same unit that count, the labeler's own among them; and how many votes stand so."""

    @property
    def others(self) -> Counts:
        """`beside` without the labeler's own vote."""
        values = self.beside.values.copy()
        rows = np.flatnonzero(self.is_counted)
        values[rows, self.outcomes[rows] + 1] -= 1
        return Counts(values, self.beside.times)

    @property
    def units(self) -> Counts:
        """How many units have so many votes that count of each value: each was read once for every such vote."""
        values, times = self.beside.values[self.is_counted], self.beside.times[self.is_counted]
        alike, place = np.unique(values, axis=0, return_inverse=True)
        num_votes = np.zeros(len(alike), dtype=np.int64)
        np.add.at(num_votes, place, times)
        return Counts(alike, num_votes // alike.sum(axis=1))


def said_by_labelers(rankings: QuerySet[Ranking], aside: Collection[int] = ()) -> Said:
    """What each labeler said beside what others did. Of tasks that were ranked once nothing is compared or read.

    Args:
        aside: labelers whose votes are compared with the others', and with whose votes nobody's are.
    """
    columns = ("id", "task_id", "labeler_id", "protocol")
    try:
        chosen, chosen_params = rankings.order_by().values(*columns).query.sql_with_params()
    except EmptyResultSet:
        return _said([])
    with connection.cursor() as cursor:
        cursor.execute(READ.format(rankings=chosen), [*chosen_params, list(aside), Protocol.BEST])
        return _said(cursor.fetchall())


def _said(rows: Sequence[Sequence[int]]) -> Said:
    found = np.array(rows, dtype=np.int64).reshape(-1, 7)
    return Said(found[:, 0], found[:, 1], found[:, 2].astype(bool), Counts(found[:, 3:6], found[:, 6]))
