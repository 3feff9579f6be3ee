"""The queue as a state machine: eight people and tabs at once on PostgreSQL, and what must hold whenever they pause.

QUEUE_EXAMPLES sets how many histories are played; `make test` plays a few, a soak many.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, ClassVar

import hypothesis.strategies as st
import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from accounts.errors import Conflict
from annotation.models import Campaign, Labeler, Lease, Ranking, Task
from annotation.querysets import TAKEN
from annotation.services import (
    claim_task,
    exclude_labeler,
    expire_leases,
    readmit_labeler,
    recent_rankings,
    release_lease,
    renew_lease,
    revise_ranking,
    skip_task,
    submit_ranking,
    withdraw_ranking,
)
from annotation.states import LeaseState
from tests.cast import Cast, make_campaign, make_cast, make_labeler, make_task, submission

EXAMPLES = int(os.environ.get("QUEUE_EXAMPLES", "5"))
NUM_THREADS = 8
NUM_LABELERS = 5
REFUSALS = {
    "lease_over",
    "lease_expired_no_slot",
    "ranking_replaced",
    "labeler_excluded",
    "labeler_not_excluded",
}
"""What may be said to somebody who comes too late; anything else is a fault."""


class Hands:
    """Threads that keep a connection each and start together."""

    def __init__(self) -> None:
        self.threads = [ThreadPoolExecutor(1) for _number in range(NUM_THREADS)]

    def at_once(self, works: Sequence[Callable[[], None]]) -> None:
        barrier = threading.Barrier(len(works))

        def together(work: Callable[[], None]) -> None:
            barrier.wait(timeout=60)
            work()

        futures: list[Future[None]] = [
            thread.submit(together, work) for thread, work in zip(self.threads, works, strict=True)
        ]
        for future in futures:
            future.result(timeout=120)

    def close(self) -> None:
        for thread in self.threads:
            thread.submit(lambda: connection.close()).result()
            thread.shutdown()


class Queue(RuleBasedStateMachine):
    cast: ClassVar[Cast]
    hands: ClassVar[Hands]
    number: ClassVar[int] = 0
    faults: ClassVar[list[BaseException]] = []

    campaign: Campaign | None = None

    @initialize(
        overlap=st.integers(1, 3), more=st.integers(0, 2), num_tasks=st.integers(1, 6), num_answers=st.integers(2, 3)
    )
    def open(self, overlap: int, more: int, num_tasks: int, num_answers: int) -> None:
        Queue.number += 1
        self.campaign = make_campaign(self.cast, name=f"Campaign {Queue.number}", overlap=overlap)
        if more:
            self.campaign.overlap_max = overlap + more
            self.campaign.save()
        for number in range(num_tasks):
            answers = [f"answer {n}" for n in range(num_answers)]
            make_task(self.campaign, f"Question {number}?", answers, priority=100 - number % 2)
        self.labelers = [self.newcomer(f"labeler {n}") for n in range(NUM_LABELERS)]
        self.lock = threading.Lock()
        self.acknowledged: dict[int, tuple[int, list[int | None]]] = {}
        self.withdrawn: set[int] = set()

    def newcomer(self, name: str) -> Labeler:
        return make_labeler(self.cast.workspace, f"{name} of {Queue.number}")

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Keep what fails: played again it may go another way, and Hypothesis would tell of that only."""
        try:
            yield
        except BaseException as error:
            self.faults.append(error)
            raise

    @rule(
        histories=st.lists(
            st.tuples(
                st.integers(0, NUM_LABELERS - 1),
                st.lists(
                    st.tuples(st.deferred(lambda: st.sampled_from(sorted(ACTIONS))), st.integers(0, 99)),
                    min_size=1,
                    max_size=4,
                ),
            ),
            min_size=NUM_THREADS,
            max_size=NUM_THREADS,
        )
    )
    def work(self, histories: list[tuple[int, list[tuple[str, int]]]]) -> None:
        def live(who: int, history: list[tuple[str, int]]) -> Callable[[], None]:
            def turn() -> None:
                for what, number in history:
                    act(self, self.labelers[who], what, number)

            return turn

        with self.watched():
            self.hands.at_once([live(who, history) for who, history in histories])

    @invariant()
    def holds(self) -> None:
        if self.campaign is not None:
            with self.watched():
                self.check_slots()
                self.check_people()
                self.check_acknowledged()

    def check_slots(self) -> None:
        for task in Task.objects.filter(campaign=self.campaign):
            held = task.leases.filter(state=LeaseState.ACTIVE, takes_slot=True).count()
            counted = Ranking.objects.counted().filter(task=task).count()
            assert task.free_slots == task.overlap - held - counted, f"{task.pk}: {task.free_slots=} {held=} {counted=}"
            assert counted <= task.overlap

    def check_people(self) -> None:
        leases = Lease.objects.filter(task__campaign=self.campaign, revises=None)
        said = Ranking.objects.filter(task__campaign=self.campaign, superseded_by=None)
        twice = Counter(said.values_list("task", "labeler", "repeat"))
        assert not twice or max(twice.values()) == 1, twice
        held = Counter(leases.active().values_list("labeler", flat=True))
        assert not held or max(held.values()) <= 2, held
        offered = Counter(leases.filter(state__in=TAKEN).exclude(state="skipped").values_list("task", "labeler"))
        assert not offered or max(offered.values()) == 1, offered

    def check_acknowledged(self) -> None:
        stored = {
            ranking.lease_id: (ranking.pk, [item.rank for item in ranking.items.all()])
            for ranking in Ranking.objects.filter(task__campaign=self.campaign).prefetch_related("items")
        }
        assert stored == self.acknowledged
        known = {ranking for ranking, _ranks in self.acknowledged.values()}
        for ranking in Ranking.objects.filter(task__campaign=self.campaign):
            assert ranking.superseded_by_id is None or ranking.superseded_by_id in known - {ranking.pk}
            assert (ranking.withdrawn_at is not None) == (ranking.pk in self.withdrawn)

    def teardown(self) -> None:
        """Whoever comes last finds all that is left: no slot is lost or passed over for good."""
        if self.campaign is None or self.faults:
            return
        with self.watched():
            Lease.objects.active().update(expires_at=timezone.now() - timedelta(seconds=1))
            for number in range(NUM_LABELERS + 5):
                latecomer = self.newcomer(f"latecomer {number}")
                while (lease := claim_task(campaign=self.campaign, labeler=latecomer)) is not None:
                    submit(self, lease)
            self.check_slots()
            assert not Task.objects.filter(campaign=self.campaign, free_slots__gt=0).exists()


def act(queue: Queue, labeler: Labeler, what: str, number: int) -> None:
    try:
        ACTIONS[what](queue, labeler, number)
    except Conflict as refused:
        if refused.code not in REFUSALS:
            raise


def claim(queue: Queue, labeler: Labeler, number: int) -> None:
    assert queue.campaign is not None
    lease = claim_task(campaign=queue.campaign, labeler=labeler, ahead=bool(number % 2))
    assert lease is None or lease.labeler_id == labeler.pk


def one_of(rows: Any, number: int) -> Any:
    found = list(rows.order_by("pk"))
    return found[number % len(found)] if found else None


def with_lease(move: Callable[[Queue, Lease], object], *states: LeaseState) -> Callable[[Queue, Labeler, int], None]:
    def work(queue: Queue, labeler: Labeler, number: int) -> None:
        leases = Lease.objects.filter(labeler=labeler, task__campaign=queue.campaign, state__in=states)
        lease = one_of(leases, number)
        if lease is not None:
            move(queue, lease)

    return work


def submit(queue: Queue, lease: Lease) -> None:
    ranks: list[int | None] = [(lease.pk >> place) % 3 + 1 for place in range(len(lease.shown))]
    result = submit_ranking(lease=lease, submission=submission(lease, ranks))
    stored = [item.rank for item in result.ranking.items.all()]
    with queue.lock:
        before = queue.acknowledged.setdefault(lease.pk, (result.ranking.pk, stored))
    assert before == (result.ranking.pk, stored)


def expire(queue: Queue, labeler: Labeler, number: int) -> None:
    """Anybody's lease runs out, and the clock comes by."""
    lease = one_of(Lease.objects.active().filter(task__campaign=queue.campaign), number)
    if lease is not None:
        Lease.objects.active().filter(pk=lease.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    expire_leases()


def revise(queue: Queue, labeler: Labeler, number: int) -> None:
    assert queue.campaign is not None
    ranking = one_of(recent_rankings(labeler, queue.campaign), number)
    if ranking is not None:
        lease = revise_ranking(ranking=ranking, labeler=labeler)
        assert [item["completion"] for item in (lease.draft or {})["items"]] == lease.shown


def withdraw(queue: Queue, labeler: Labeler, number: int) -> None:
    assert queue.campaign is not None
    ranking = one_of(recent_rankings(labeler, queue.campaign), number)
    if ranking is not None:
        withdraw_ranking(ranking=ranking, labeler=labeler)
        with queue.lock:
            queue.withdrawn.add(ranking.pk)


def exclude(queue: Queue, labeler: Labeler, number: int) -> None:
    assert queue.campaign is not None
    exclude_labeler(campaign=queue.campaign, labeler=labeler, by=None, reason="Too fast.")


def readmit(queue: Queue, labeler: Labeler, number: int) -> None:
    assert queue.campaign is not None
    readmit_labeler(campaign=queue.campaign, labeler=labeler, by=None)


ACTIONS: dict[str, Callable[[Queue, Labeler, int], None]] = {
    "claim": claim,
    "claim more": claim,
    "claim again": claim,
    "submit": with_lease(submit, LeaseState.ACTIVE),
    "submit more": with_lease(submit, LeaseState.ACTIVE),
    "submit late": with_lease(submit, LeaseState.ACTIVE, LeaseState.EXPIRED),
    "send again": with_lease(submit, LeaseState.SUBMITTED),
    "heartbeat": with_lease(lambda queue, lease: renew_lease(lease=lease), LeaseState.ACTIVE),
    "skip": with_lease(lambda queue, lease: skip_task(lease=lease, reason="other"), LeaseState.ACTIVE),
    "release": with_lease(lambda queue, lease: release_lease(lease=lease), LeaseState.ACTIVE),
    "expire": expire,
    "revise": revise,
    "withdraw": withdraw,
    "exclude": exclude,
    "readmit": readmit,
}


@pytest.mark.slow
def test_whatever_eight_people_do_at_once_the_queue_stays_exact(transactional_db: None) -> None:
    Queue.cast, Queue.hands = make_cast(), Hands()
    how = settings(
        max_examples=EXAMPLES,
        stateful_step_count=10,
        deadline=None,
        database=None,
        # Which of eight threads comes first is not Hypothesis's to repeat, so it does not try to shrink.
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(Queue, settings=how)  # type: ignore[no-untyped-call]
    except Exception as error:
        raise (Queue.faults[0] if Queue.faults else error) from None
    finally:
        Queue.hands.close()
