"""A connection that rested: used again without a question, unless its server has ended it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from config.postgresql.base import DatabaseWrapper


@pytest.fixture
def resting(transactional_db: None) -> Iterator[DatabaseWrapper]:
    """A second connection, with a query behind it."""
    other: Any = connection.copy()
    other.health_check_enabled = True
    assert pid_of(other)
    yield other
    other.close()


def pid_of(wrapper: Any) -> int:
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def ask_of_another(sql: str, value: int) -> object:
    with connection.cursor() as cursor:
        cursor.execute(sql, [value])
        return cursor.fetchone()[0]


def test_a_connection_that_lives_is_not_asked(resting: Any) -> None:
    pid = pid_of(resting)

    resting.health_check_done = False
    resting.close_if_health_check_failed()

    assert isinstance(resting, DatabaseWrapper)
    last = ask_of_another("SELECT query FROM pg_stat_activity WHERE pid = %s", pid)
    assert last == "SELECT pg_backend_pid()"
    assert pid_of(resting) == pid


def test_a_connection_that_the_server_ended_is_made_anew(resting: Any) -> None:
    pid = pid_of(resting)
    assert ask_of_another("SELECT pg_terminate_backend(%s, 5000)", pid)

    resting.health_check_done = False
    resting.close_if_health_check_failed()

    assert resting.connection is None
    assert pid_of(resting) != pid
    assert not DatabaseWrapper(resting.settings_dict).is_usable()


def test_a_word_from_the_server_that_is_no_end_is_no_reason_to_part(resting: Any) -> None:
    pid = pid_of(resting)
    with resting.cursor() as cursor:
        cursor.execute("LISTEN bell")
    with connection.cursor() as cursor:
        cursor.execute("NOTIFY bell")

    resting.health_check_done = False
    resting.close_if_health_check_failed()

    assert pid_of(resting) == pid
