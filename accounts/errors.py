"""The domain's errors: each carries a sentence for people and a code for programs, the same in page and API."""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """A request that the domain turns down.

    Args:
        message: what happened and what to do, one or two plain sentences.
        code: stable snake_case word.
        status: HTTP status of the answer.
        details: JSON-able facts for programs, as line numbers or a draft's identity.
    """

    status = 400

    def __init__(
        self, message: str, *, code: str, status: int | None = None, details: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status or type(self).status
        self.details = details or {}


class Conflict(Refused):
    """The request is well-formed but collides with what is stored (409)."""

    status = 409


class IllegalTransition(Conflict):
    """A state machine has no such move from where the row stands now."""

    def __init__(self, message: str, *, code: str = "illegal_transition") -> None:
        super().__init__(message, code=code)
