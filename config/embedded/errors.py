"""The one error of this package: a sentence for a person, and a code."""

from __future__ import annotations


class EmbeddedError(Exception):
    """A service of this machine could not be started; the message says what to do about it."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


def disk_full(where: object) -> EmbeddedError:
    return EmbeddedError(f"The disk under {where} is full; free some space and try again.", code="disk_full")
