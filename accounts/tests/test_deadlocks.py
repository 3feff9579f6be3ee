"""Two transactions that wait for each other: both are through in the end."""

from __future__ import annotations

import threading

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction
from psycopg.errors import DeadlockDetected

from accounts import deadlocks
from accounts.deadlocks import ATTEMPTS, LONGEST_PAUSE, again_after_deadlock
from accounts.models import User


def lock(name: str) -> None:
    User.objects.select_for_update().get(username=name)


@pytest.mark.django_db(transaction=True)
def test_whoever_is_ended_by_a_deadlock_comes_again() -> None:
    for name in ("one", "two"):
        User.objects.create_user(name)
    both_hold, one_is_through, began, through = threading.Barrier(2, timeout=10), threading.Event(), [], []

    def work(first: str, second: str) -> None:
        @again_after_deadlock
        @transaction.atomic
        def step() -> str:
            began.append(first)
            if began.count(first) > 1:
                one_is_through.wait(timeout=10)
            lock(first)
            if began.count(first) == 1:
                both_hold.wait()
            lock(second)
            return first

        try:
            through.append(step())
            one_is_through.set()
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=names) for names in (("one", "two"), ("two", "one"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)

    assert sorted(through) == ["one", "two"]
    assert len(began) == 3


def test_whoever_comes_again_lets_the_other_one_be_woken_first(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(deadlocks.time, "sleep", pauses.append)
    calls = []

    @again_after_deadlock
    def step() -> None:
        calls.append(1)
        raise OperationalError from DeadlockDetected()

    with pytest.raises(OperationalError):
        step()
    assert len(calls) == ATTEMPTS
    assert len(pauses) == ATTEMPTS - 1
    assert all(0 < pause <= LONGEST_PAUSE for pause in pauses)
    assert len(set(pauses)) == len(pauses), "each waits for another time, or both come back together"


@pytest.mark.parametrize("error", [OperationalError("no connection"), IntegrityError("twice")], ids=str)
def test_no_other_failure_is_tried_again(error: Exception) -> None:
    calls = []

    @again_after_deadlock
    def step() -> None:
        calls.append(1)
        raise error

    with pytest.raises(type(error)):
        step()
    assert len(calls) == 1 < ATTEMPTS
