"""The claim under load: real connections, one thread each."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial

import pytest
from django.db import connection
from django.db.models import F
from django.utils import timezone

from accounts.errors import Conflict
from annotation.models import Campaign, Labeler, Lease, Ranking, Task
from annotation.services import claim_task, expire_leases, release_lease, skip_task, submit_ranking
from annotation.states import LeaseState
from tests.cast import Cast, make_campaign, make_cast, make_labeler, make_task, submission

NUM_CONNECTIONS = 16


@pytest.fixture
def committed(transactional_db: None) -> Cast:
    """The cast in committed rows, which every connection sees."""
    return make_cast()


def at_once(works: Sequence[Callable[[], object]]) -> None:
    """Run every function in a thread with a connection of its own, all starting together; errors are raised here."""
    barrier = threading.Barrier(len(works))
    errors: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            connection.ensure_connection()
            barrier.wait(timeout=30)
            work()
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not any(thread.is_alive() for thread in threads), "deadlock"
    if errors:
        raise errors[0]


def labelers_of(cast: Cast, num: int = NUM_CONNECTIONS) -> list[Labeler]:
    return [make_labeler(cast.workspace, f"worker-{number}") for number in range(num)]


def assert_slots_add_up(campaign: Campaign) -> None:
    for task in Task.objects.filter(campaign=campaign):
        active = task.leases.filter(state=LeaseState.ACTIVE).count()
        assert task.free_slots == task.overlap - active - task.rankings.count(), task


def test_sixteen_connections_share_one_tasks_slots_exactly(committed: Cast) -> None:
    campaign = make_campaign(committed, overlap=5)
    task = make_task(campaign)
    got: list[Lease | None] = []

    def claim(labeler: Labeler) -> Callable[[], None]:
        return lambda: got.append(claim_task(campaign=campaign, labeler=labeler))

    at_once([claim(labeler) for labeler in labelers_of(committed)])

    assert Counter(lease is not None for lease in got) == {True: 5, False: NUM_CONNECTIONS - 5}
    task.refresh_from_db()
    assert task.free_slots == 0
    assert Lease.objects.active().values("labeler").distinct().count() == 5


def test_sixteen_connections_each_get_a_task_of_their_own(committed: Cast) -> None:
    campaign = make_campaign(committed, overlap=1)
    tasks = {make_task(campaign, f"Question {number}?").pk for number in range(NUM_CONNECTIONS)}
    got: list[int] = []

    def claim(labeler: Labeler) -> Callable[[], None]:
        def work() -> None:
            lease = claim_task(campaign=campaign, labeler=labeler)
            assert lease is not None
            got.append(lease.task_id)

        return work

    at_once([claim(labeler) for labeler in labelers_of(committed)])

    assert sorted(got) == sorted(tasks)


def test_two_tabs_of_one_labeler_get_the_same_lease(committed: Cast) -> None:
    campaign = make_campaign(committed, overlap=3)
    for number in range(3):
        make_task(campaign, f"Question {number}?")
    labeler = committed.labeler(committed.alice)
    got: list[int] = []

    def work() -> None:
        lease = claim_task(campaign=campaign, labeler=labeler)
        assert lease is not None
        got.append(lease.pk)

    at_once([work] * NUM_CONNECTIONS)

    assert len(set(got)) == 1
    assert Lease.objects.count() == 1
    assert_slots_add_up(campaign)


def test_one_lease_sent_from_sixteen_connections_makes_one_ranking(committed: Cast) -> None:
    campaign = make_campaign(committed, overlap=2)
    make_task(campaign)
    lease = claim_task(campaign=campaign, labeler=committed.labeler(committed.alice))
    assert lease is not None
    repeats: list[bool] = []

    at_once(
        [lambda: repeats.append(submit_ranking(lease=lease, submission=submission(lease)).is_repeat)] * NUM_CONNECTIONS
    )

    assert Counter(repeats) == {False: 1, True: NUM_CONNECTIONS - 1}
    assert Ranking.objects.count() == 1


def test_last_slot_goes_to_one_of_sixteen_late_submits(committed: Cast) -> None:
    campaign = make_campaign(committed, overlap=1)
    task = make_task(campaign)
    leases = []
    for labeler in labelers_of(committed):
        lease = claim_task(campaign=campaign, labeler=labeler)
        assert lease is not None
        leases.append(lease)
        expire(lease)
    kept: list[Lease] = []

    def late(lease: Lease) -> Callable[[], None]:
        def work() -> None:
            if not submit(lease):
                kept.append(lease)

        return work

    at_once([late(lease) for lease in leases])

    assert Ranking.objects.filter(task=task).count() == 1
    assert len(kept) == NUM_CONNECTIONS - 1
    assert all(Lease.objects.get(pk=lease.pk).draft is not None for lease in kept)
    assert_slots_add_up(campaign)


def expire(lease: Lease) -> None:
    Lease.objects.filter(pk=lease.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    expire_leases()


def test_overlap_is_exact_when_people_release_skip_expire_and_come_late(committed: Cast) -> None:
    campaign = make_campaign(committed, overlap=3)
    for number in range(8):
        make_task(campaign, f"Question {number}?")
    labelers = labelers_of(committed)

    at_once([partial(live, campaign, labeler) for labeler in labelers])

    assert_slots_add_up(campaign)
    # A slot that was skipped or released after everybody else had left is still there for whoever comes next.
    for number in range(3):
        finish(campaign, make_labeler(committed.workspace, f"latecomer-{number}"))
    per_task = Counter(Ranking.objects.values_list("task", flat=True))
    assert set(per_task.values()) == {3}
    assert len(per_task) == 8
    pairs = Counter(Ranking.objects.values_list("task", "labeler"))
    assert set(pairs.values()) == {1}
    assert not Task.objects.filter(free_slots__gt=F("overlap")).exists()


def live(campaign: Campaign, labeler: Labeler) -> None:
    """Claim until nothing is left, and hand in, release, skip or let expire by a seeded chance."""
    chance = random.Random(labeler.name)
    late: list[Lease] = []
    for _turn in range(60):
        lease = claim_task(campaign=campaign, labeler=labeler)
        if lease is None:
            break
        what = chance.random()
        if what < 0.15:
            release_lease(lease=lease)
        elif what < 0.2:
            skip_task(lease=lease, reason="no_expertise")
        elif what < 0.35:
            expire(lease)
            late.append(lease)
        else:
            submit(lease)
    for lease in late:
        submit(lease)


def finish(campaign: Campaign, labeler: Labeler) -> None:
    while (lease := claim_task(campaign=campaign, labeler=labeler)) is not None:
        submit(lease)


def submit(lease: Lease) -> bool:
    """Hand in; False where others have taken the place, or the labeler has ranked the task under a later lease."""
    try:
        submit_ranking(lease=lease, submission=submission(lease))
    except Conflict as error:
        if error.code not in {"lease_expired_no_slot", "lease_over"}:
            raise
        return False
    return True
