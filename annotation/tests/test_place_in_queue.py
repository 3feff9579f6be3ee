"""A labeler's place in the queue: claims stay cheap however much is done, and nothing is passed over for good."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from annotation.models import Campaign, Labeler, Lease, Participation, Ranking, Task
from annotation.services import (
    NewTask,
    claim_task,
    create_tasks,
    import_jsonl,
    release_lease,
    skip_task,
    submit_ranking,
)
from annotation.services.participations import look_again
from annotation.states import LeaseState
from tests.cast import Cast, make_campaign, make_cast, make_completions, make_prompt, make_task, submission


def claim(campaign: Campaign, labeler: Labeler) -> Lease:
    lease = claim_task(campaign=campaign, labeler=labeler)
    assert lease is not None
    return lease


def rank(campaign: Campaign, labeler: Labeler) -> Task:
    """Claim and submit; the task."""
    lease = claim(campaign, labeler)
    submit_ranking(lease=lease, submission=submission(lease))
    return lease.task


def let_time_pass(labeler: Labeler, seconds: int = 60) -> None:
    standing = Participation.objects.get(labeler=labeler)
    assert standing.looked_back_at is not None
    standing.looked_back_at -= timedelta(seconds=seconds)
    standing.save()


def rows_read() -> int:
    """Rows of the queue's tables that this transaction has read so far."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables "
            "WHERE relname IN ('annotation_task', 'annotation_lease', 'annotation_ranking')"
        )
        return int(cursor.fetchone()[0])


def rows_of_claims(campaign: Campaign, labeler: Labeler, num: int = 5) -> list[int]:
    counts = []
    for _turn in range(num):
        before = rows_read()
        lease = claim(campaign, labeler)
        counts.append(rows_read() - before)
        submit_ranking(lease=lease, submission=submission(lease))
    return counts


def plan_anew() -> None:
    """As a connection does that is made now, or that autovacuum has told of the tables' growth."""
    connection.cursor().execute("DISCARD PLANS")


def many_tasks(campaign: Campaign, num: int) -> list[Task]:
    prompt = make_prompt(campaign)
    answers = [answer.public_id for answer in make_completions(prompt)]
    return create_tasks(campaign=campaign, tasks=[NewTask(prompt_id=prompt.public_id, completion_ids=answers)] * num)


def rank_at_a_stroke(tasks: list[Task], labeler: Labeler) -> None:
    """As if the labeler had ranked them one by one; each has slots for others still."""
    now = timezone.now()
    leases = Lease.objects.bulk_create(
        Lease(task=task, labeler=labeler, state=LeaseState.SUBMITTED, shown=[], expires_at=now) for task in tasks
    )
    Ranking.objects.bulk_create(
        Ranking(lease=lease, task=lease.task, labeler=labeler, protocol="ranking", body_sha256="") for lease in leases
    )
    Task.objects.filter(pk__in=[task.pk for task in tasks]).update(free_slots=2)


@pytest.mark.parametrize("analyzed", ["never", "emptied", "before", "after"])
def test_a_claim_reads_as_few_rows_after_three_thousand_rankings_as_after_none(cast: Cast, analyzed: str) -> None:
    """Whatever PostgreSQL knows of its tables: nothing, that all rows are gone, that two are empty, or how they are."""
    campaign = make_campaign(cast, overlap=3)
    labeler = cast.labeler(cast.alice)
    tasks = many_tasks(campaign, 3200)
    if analyzed == "emptied":
        connection.cursor().execute(
            "UPDATE pg_class SET reltuples = 0, relpages = 50 "
            "WHERE relname IN ('annotation_lease', 'annotation_ranking')"
        )
    plan_anew()
    few = rows_of_claims(campaign, labeler)

    if analyzed == "before":
        connection.cursor().execute("ANALYZE annotation_task, annotation_lease, annotation_ranking")
    rank_at_a_stroke(tasks[5:3000], labeler)
    if analyzed == "after":
        connection.cursor().execute("ANALYZE annotation_task, annotation_lease, annotation_ranking")
    plan_anew()
    # One pass over what they did elsewhere; from there on their place is known.
    assert rank(campaign, labeler) == tasks[3000]
    many = rows_of_claims(campaign, labeler)

    assert max(many) <= max(few) + 20 < 60, (few, many)


@pytest.mark.parametrize("num_met", [0, 300], ids=["nobody ranked", "another labeler ranked"])
def test_claims_far_on_in_the_queue_are_not_planned_again_and_again(cast: Cast, num_met: int) -> None:
    """Nor those of labelers whom PostgreSQL's statistics do not know, beside one whom they do."""
    campaign = make_campaign(cast, overlap=3)
    labelers = [cast.labeler(cast.alice), cast.labeler(cast.bob)]
    tasks = many_tasks(campaign, 1000)
    rank_at_a_stroke(tasks[:num_met], cast.labeler(cast.charlie))
    # All three: what is analysed here, autovacuum leaves alone until the test is over.
    connection.cursor().execute("ANALYZE annotation_task, annotation_lease, annotation_ranking")
    for labeler, last in zip(labelers, (tasks[700], tasks[800]), strict=True):
        rank(campaign, labeler)
        Participation.objects.filter(labeler=labeler).update(passed_task=last.pk)
    plan_anew()

    for _turn in range(20):
        for labeler in labelers:
            rank(campaign, labeler)

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT generic_plans, custom_plans FROM pg_prepared_statements "
            "WHERE statement LIKE 'SELECT%%annotation_task%%ROW(%%SKIP LOCKED' AND generic_plans + custom_plans > 20"
        )
        plans = cursor.fetchall()
    # PostgreSQL looks five times how cheap a plan made for the values is.
    assert [custom for _generic, custom in plans] == [5], plans


def test_skipped_tasks_and_those_for_others_are_not_stepped_over_again(cast: Cast) -> None:
    campaign = make_campaign(cast, overlap=1)
    labeler = cast.labeler(cast.alice)
    tasks = many_tasks(campaign, 1500)
    Task.objects.filter(pk__in=[task.pk for task in tasks[:700]]).update(skill="law")
    # Sixty leases are so few that PostgreSQL may rightly read them all, which would hide what is stepped over.
    connection.cursor().execute("SET LOCAL enable_seqscan = off")
    few = rows_of_claims(campaign, cast.labeler(cast.bob), 2)[1:]
    for _turn in range(60):
        skip_task(lease=claim(campaign, labeler))
    # Yesterday; they were looked at once since.
    Task.objects.filter(returned_at__isnull=False).update(returned_at=timezone.now() - timedelta(days=1))
    let_time_pass(labeler)
    connection.cursor().execute("ANALYZE annotation_task, annotation_lease, annotation_ranking")
    rank(campaign, labeler)

    many = rows_of_claims(campaign, labeler)

    assert max(many) <= max(few) + 20 < 60, (few, many)


def test_a_slot_that_came_back_goes_before_what_is_further_on(cast: Cast) -> None:
    campaign = make_campaign(cast, overlap=1)
    tasks = [make_task(campaign, f"{n}?") for n in range(4)]
    alice, bob = cast.labeler(cast.alice), cast.labeler(cast.bob)
    hers = claim(campaign, alice)
    assert rank(campaign, bob) == tasks[1]
    release_lease(lease=hers)

    let_time_pass(bob)

    assert rank(campaign, bob) == tasks[0]
    assert rank(campaign, bob) == tasks[2]


def test_a_slot_that_came_back_is_found_at_once_when_nothing_else_is_left(cast: Cast) -> None:
    campaign = make_campaign(cast, overlap=1)
    tasks = [make_task(campaign, f"{n}?") for n in range(2)]
    hers = claim(campaign, cast.labeler(cast.alice))
    bob = cast.labeler(cast.bob)
    assert rank(campaign, bob) == tasks[1]
    assert claim_task(campaign=campaign, labeler=bob) is None
    # As if the return had been committed too late to be noticed.
    release_lease(lease=hers)
    Task.objects.update(returned_at=None)

    assert rank(campaign, bob) == tasks[0]


def test_tasks_put_in_before_a_labelers_place_come_next(cast: Cast) -> None:
    campaign = make_campaign(cast, overlap=2)
    old = [make_task(campaign, f"{n}?") for n in range(4)]
    labeler = cast.labeler(cast.alice)
    assert [rank(campaign, labeler) for _turn in range(2)] == old[:2]

    make_task(campaign, "later?", priority=200)
    urgent = make_task(campaign, "urgent?", priority=10)

    assert [rank(campaign, labeler) for _turn in range(2)] == [urgent, old[2]]


def test_imported_tasks_put_in_before_a_labelers_place_come_next(cast: Cast) -> None:
    campaign = make_campaign(cast, overlap=2)
    old = [make_task(campaign, f"{n}?", priority=200) for n in range(3)]
    labeler = cast.labeler(cast.alice)
    assert rank(campaign, labeler) == old[0]
    line = b'{"prompt": "new?", "completions": [{"text": "a", "source": "x"}, {"text": "b", "source": "x"}]}'

    import_jsonl(campaign=campaign, by=cast.manager, lines=line)

    assert rank(campaign, labeler).prompt.text == "new?"
    assert rank(campaign, labeler) == old[1]


def test_a_task_that_moves_up_is_looked_at_again(cast: Cast) -> None:
    campaign = make_campaign(cast, overlap=2)
    tasks = [make_task(campaign, f"{n}?") for n in range(4)]
    labeler = cast.labeler(cast.alice)
    assert rank(campaign, labeler) == tasks[0]

    with transaction.atomic():
        look_again(campaign_id=campaign.pk, priority=5, task_id=tasks[3].pk)
        Task.objects.filter(pk=tasks[3].pk).update(priority=5)

    assert [rank(campaign, labeler) for _turn in range(2)] == [tasks[3], tasks[1]]


@contextmanager
def locked(task: Task) -> Iterator[None]:
    """The task's row, locked by another connection."""
    is_locked, is_over = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Task.objects.select_for_update().get(pk=task.pk)
            is_locked.set()
            is_over.wait(timeout=30)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert is_locked.wait(timeout=30)
        yield
    finally:
        is_over.set()
        thread.join()


def test_a_task_that_somebody_had_locked_is_not_passed_over(transactional_db: None) -> None:
    cast = make_cast()
    campaign = make_campaign(cast, overlap=2)
    tasks = [make_task(campaign, f"{n}?") for n in range(4)]
    labeler = cast.labeler(cast.alice)
    assert rank(campaign, labeler) == tasks[0]

    with locked(tasks[1]):
        assert rank(campaign, labeler) == tasks[2]

    assert [rank(campaign, labeler) for _turn in range(2)] == [tasks[1], tasks[3]]


def test_claim_and_submit_cost_the_same_few_queries_at_any_time(
    cast: Cast, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    campaign = make_campaign(cast, overlap=3)
    many_tasks(campaign, 12)
    labeler = cast.labeler(cast.alice)
    rank(campaign, labeler)
    for _turn in range(3):
        # Besides the queries: a savepoint and its release.
        with django_assert_num_queries(4 + 2):
            lease = claim(campaign, labeler)
        lease = Lease.objects.select_related("task__campaign__workspace", "labeler__user").get(pk=lease.pk)
        with django_assert_num_queries(4 + 2):
            submit_ranking(lease=lease, submission=submission(lease))
    with django_assert_num_queries(4 + 2):
        first = claim(campaign, labeler)
    with django_assert_num_queries(4 + 2):
        assert claim_task(campaign=campaign, labeler=labeler, ahead=True) != first
    with django_assert_num_queries(2 + 2):
        assert claim(campaign, labeler) == first


def test_after_many_new_tasks_the_queue_is_counted(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans that connections keep were made for the queue as it was."""
    campaign = make_campaign(cast)
    monkeypatch.setattr("annotation.services.queueing.MANY", 3)

    with CaptureQueriesContext(connection) as few:
        many_tasks(campaign, 2)
    with CaptureQueriesContext(connection) as many:
        many_tasks(campaign, 3)

    counted = 'ANALYZE "annotation_task"'
    assert [counted in [query["sql"] for query in queries] for queries in (few, many)] == [False, True]
