"""Two transactions that wait for each other: both are through in the end."""

from __future__ import annotations

import threading

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction

from accounts.deadlocks import ATTEMPTS, again_after_deadlock
from accounts.models import User


def lock(name: str) -> None:
    User.objects.select_for_update().get(username=name)


@pytest.mark.django_db(transaction=True)
def test_whoever_is_ended_by_a_deadlock_comes_again() -> None:
    for name in ("one", "two"):
        User.objects.create_user(name)
    both_hold, began, through = threading.Barrier(2, timeout=10), [], []

    def work(first: str, second: str) -> None:
        @again_after_deadlock
        @transaction.atomic
        def step() -> str:
            began.append(first)
            lock(first)
            if began.count(first) == 1:
                both_hold.wait()
            lock(second)
            return first

        try:
            through.append(step())
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=names) for names in (("one", "two"), ("two", "one"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)

    assert sorted(through) == ["one", "two"]
    assert len(began) > 2, "nobody was ended"


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
