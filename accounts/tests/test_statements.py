"""Statements send what the ORM would send, whatever values come."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import AuditEvent, User
from accounts.statements import Given, Statement
from accounts.writes import Addition, Change, KeyOf, whether, write_together
from annotation.models import Lease, Participation, Ranking, RankingItem
from tests.cast import Cast, make_campaign, make_completions, make_task

HOSTILE = '100 % of \'"%s"; -- \\ é 字'
NEW_PERSON = Addition(User)
NEW_LEASE = Addition(Lease)
NEW_ITEMS = Addition(RankingItem)
NEW_STANDING = Addition(Participation)
NEW_RANKING = Addition(Ranking)


@pytest.fixture
def lease(cast: Cast) -> Lease:
    campaign = make_campaign(cast)
    task = make_task(campaign)
    return Lease(task=task, labeler=cast.labeler(cast.alice), shown=["a", HOSTILE], expires_at=timezone.now())


def columns(row: Lease | Participation | Ranking | RankingItem) -> dict[str, object]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def test_an_added_row_is_the_row_that_saving_makes(lease: Lease) -> None:
    lease.draft = {"items": [{"rank": None, "rewrite": HOSTILE}]}

    added = NEW_LEASE.one(lease)

    assert added is lease
    assert not added._state.adding
    stored = Lease.objects.get(pk=added.pk)
    assert columns(stored) == columns(added)
    stored.delete()
    stored.pk = None
    stored.save(force_insert=True)
    again = Lease.objects.get(pk=stored.pk)
    assert {**columns(again), "id": 0, "created_at": 0} == {**columns(added), "id": 0, "created_at": 0}


def test_texts_with_signs_of_sql_come_back_as_they_went(lease: Lease) -> None:
    find = Statement(lambda: User.objects.filter(first_name=HOSTILE, username=Given("name")))

    person = NEW_PERSON.one(User(username=HOSTILE, first_name=HOSTILE))

    assert find.first(name=HOSTILE) == person
    renamed = Change(lambda: User.objects.filter(username=Given("name")), last_name=Given("new"), first_name=HOSTILE)
    assert renamed.run(name=HOSTILE, new=HOSTILE) == 1
    person.refresh_from_db()
    assert (person.first_name, person.last_name) == (HOSTILE, HOSTILE)


def test_many_rows_go_in_one_statement_and_none_in_none(lease: Lease) -> None:
    NEW_LEASE.one(lease)
    answers = make_completions(lease.task.prompt)
    ranking = Ranking.objects.create(task=lease.task, labeler=lease.labeler, lease=lease, body_sha256="")
    rows = [
        RankingItem(
            ranking=ranking, completion=answer, position_shown=place, rank=place or None, flags=["x"] * place,
            seen_seconds=place / 3 if place else None,
        )
        for place, answer in enumerate(answers)
    ]  # fmt: skip

    with CaptureQueriesContext(connection) as sent:
        told = write_together(some=NEW_ITEMS.part_of_all(rows), none=NEW_ITEMS.part_of_all([]))

    assert len(sent) == 1
    assert told == {"some": len(rows), "none": 0}
    stored = list(RankingItem.objects.order_by("position_shown"))
    assert [{**columns(row), "id": 0} for row in stored] == [{**columns(row), "id": 0} for row in rows]


def test_parts_are_written_in_one_statement_and_tell_of_themselves(lease: Lease) -> None:
    standing = NEW_STANDING.one(Participation(campaign=lease.task.campaign, labeler=lease.labeler))
    NEW_LEASE.one(lease)
    answers = make_completions(lease.task.prompt)
    ranking = Ranking(task=lease.task, labeler=lease.labeler, lease=lease, rationale=HOSTILE, body_sha256="")
    items = [
        RankingItem(completion=answer, position_shown=place, flags=[HOSTILE]) for place, answer in enumerate(answers)
    ]
    counted = Change(lambda: Participation.objects.filter(pk=Given("key")), num_submitted=Given("num"))
    named = Statement(lambda: Lease.objects.filter(shown__contains=[HOSTILE], pk=Given("lease")))

    with CaptureQueriesContext(connection) as sent:
        told = write_together(
            is_known=whether(named, lease=lease.pk),
            is_nobodys=whether(named, lease=0),
            ranking=NEW_RANKING.part(ranking),
            items=NEW_ITEMS.part_of_all(items, ranking=KeyOf("ranking")),
            counted=counted.part(key=standing.pk, num=7),
            uncounted=counted.part(key=0, num=8),
        )

    assert len(sent) == 1
    stored = Ranking.objects.get()
    expected = {"ranking": stored.pk, "items": len(answers), "counted": 1, "uncounted": 0}
    assert told == {**expected, "is_known": True, "is_nobodys": False}
    assert columns(NEW_RANKING.added(ranking, told["ranking"])) == columns(stored)
    assert list(stored.items.values_list("completion", "flags")) == [(answer.pk, [HOSTILE]) for answer in answers]
    standing.refresh_from_db()
    assert standing.num_submitted == 7


def test_of_parts_all_are_written_or_none(lease: Lease) -> None:
    other = Lease(task=lease.task, labeler=lease.labeler, shown=[], expires_at=timezone.now())

    with pytest.raises(IntegrityError), transaction.atomic():
        write_together(one=NEW_LEASE.part(lease), again=NEW_LEASE.part(other))

    assert not Lease.objects.exists()


def test_a_change_counts_its_rows_and_takes_expressions_and_nothing(lease: Lease) -> None:
    standing = NEW_STANDING.one(Participation(campaign=lease.task.campaign, labeler=lease.labeler, num_submitted=4))
    change = Change(
        lambda: Participation.objects.filter(pk=Given("key"), num_submitted__lt=6),
        num_submitted=F("num_submitted") + 1,
        day=Given("day"),
    )

    today, found = date(2026, 11, 26), []
    for day in (today, None, today):
        rows = change.run(key=standing.pk, day=day)
        standing.refresh_from_db()
        found.append((rows, standing.num_submitted, standing.day))

    assert found == [(1, 5, today), (1, 6, None), (0, 6, None)]


def test_an_audit_event_is_stored_at_its_time(cast: Cast) -> None:
    event = AuditEvent.record(workspace=cast.workspace, actor=None, verb="x", target=cast.workspace, why=HOSTILE)

    stored = AuditEvent.objects.get(pk=event.pk)
    assert (stored.workspace, stored.data, stored.actor) == (cast.workspace, {"why": HOSTILE}, None)
    assert timezone.now() - stored.created_at < timedelta(minutes=1)
    assert stored.target == f"accounts.workspace:{cast.workspace.public_id}"
