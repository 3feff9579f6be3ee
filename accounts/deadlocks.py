"""Steps that PostgreSQL may end so that others can go on."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from django.db import OperationalError
from psycopg.errors import DeadlockDetected

P = ParamSpec("P")
R = TypeVar("R")

ATTEMPTS = 4
LONGEST_PAUSE = 0.1  # seconds


def again_after_deadlock(step: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function that is one transaction: where it was ended because of a deadlock it runs again.

    `SKIP LOCKED` keeps the lock on a row that changed under it and so fits no more; whoever waits for another row then
    may hold one that nobody knows of, whatever the order of locks. The database finds it within a second.

    It waits a random moment first: whoever was let through is only just being woken, and a step that is back before it
    takes its own locks again, so that both wait for each other once more.
    """

    @functools.wraps(step)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        for _attempt in range(ATTEMPTS - 1):
            try:
                return step(*args, **kwargs)
            except OperationalError as error:
                if not isinstance(error.__cause__, DeadlockDetected):
                    raise
            time.sleep(random.uniform(0, LONGEST_PAUSE))
        return step(*args, **kwargs)

    return wrapped
