"""Typed readers of the environment: an error names the variable and the value it had."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import environ
from django.core.exceptions import ImproperlyConfigured

T = TypeVar("T")


def _read(name: str, default: T | None, convert: Callable[[str], T], expected: str) -> T:
    raw = os.environ.get(name)
    if raw is None or raw == "":
        if default is None:
            raise ImproperlyConfigured(f"{name} is not set; it must be {expected}.")
        return default
    try:
        return convert(raw)
    except ValueError:
        raise ImproperlyConfigured(f"{name} is {raw!r}; it must be {expected}.") from None


def _boolean(raw: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if raw.strip().lower() not in words:
        raise ValueError(raw)
    return words[raw.strip().lower()]


def text(name: str, default: str | None = None) -> str:
    return _read(name, default, str, "a text")


def boolean(name: str, default: bool | None = None) -> bool:
    return _read(name, default, _boolean, "true or false")


def integer(name: str, default: int | None = None) -> int:
    return _read(name, default, int, "a whole number")


def words(name: str, default: list[str] | None = None) -> list[str]:
    return _read(name, default, lambda raw: [w.strip() for w in raw.split(",") if w.strip()], "a comma-separated list")


def paths(name: str, default: list[Path] | None = None) -> list[Path]:
    return _read(
        name,
        default,
        lambda raw: [Path(p).resolve() for p in raw.split(os.pathsep) if p],
        f"directories separated by {os.pathsep!r}",
    )


def database(url: str, *, is_prepared: bool = False) -> dict[str, object]:
    """Django's DATABASES entry for a URL; only PostgreSQL is served.

    Args:
        is_prepared: parameters are bound by the server, and a statement that comes back is prepared there.

    Raises:
        ImproperlyConfigured: the URL names another engine.
    """
    entry = dict(environ.Env.db_url_config(url))
    if entry.get("ENGINE") != "django.db.backends.postgresql":
        raise ImproperlyConfigured("DATABASE_URL must start with postgres://; Plumbline runs on PostgreSQL only.")
    entry["ENGINE"] = "config.postgresql"
    if is_prepared:
        entry["OPTIONS"] = {"server_side_binding": True, "prepare_threshold": 2, **entry.get("OPTIONS", {})}
    return entry
