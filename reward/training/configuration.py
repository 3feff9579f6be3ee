"""Frozen dataclasses as configuration: help texts for forms, strict reading from JSON and back. Imports no torch."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import math
import textwrap
import types
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

Config = TypeVar("Config")

GREATEST = 2**63 - 1
"""Whole number of a config: JSON may hold any, but floats are computed from them, and those end."""


class FieldHelp(NamedTuple):
    """One setting as a form shows it. `default` is dataclasses.MISSING where a value must be given."""

    name: str
    type: Any
    default: Any
    help: str


def fields_help(cls: type) -> list[FieldHelp]:
    """Name, type, default and docstring (the string literal after the field) of every field, in order."""
    helps: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if dataclasses.is_dataclass(base):
            helps |= _docstrings(base)
    types_ = get_type_hints(cls)
    return [FieldHelp(f.name, types_[f.name], _default(f), helps.get(f.name, "")) for f in dataclasses.fields(cls)]


def from_dict(cls: type[Config], data: Mapping[str, Any]) -> Config:
    """Build `cls` from JSON values.

    Raises:
        ValueError: an unknown or missing setting, a value of the wrong type, or what `__post_init__` refuses.
    """
    if not isinstance(data, Mapping):
        raise ValueError(f"{cls.__name__} must be an object, not {data!r}")
    known = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(data) - set(known))
    if unknown:
        raise ValueError(f"{cls.__name__} has no setting {', '.join(unknown)}; it has {', '.join(known)}")
    missing = [name for name, f in known.items() if name not in data and _default(f) is dataclasses.MISSING]
    if missing:
        raise ValueError(f"{cls.__name__} needs {', '.join(missing)}")
    types_ = get_type_hints(cls)
    return cls(**{name: _read(name, types_[name], value) for name, value in data.items()})


def to_dict(config: Any) -> dict[str, Any]:
    """`config` as JSON values; `from_dict` reads them back to an equal config."""
    return {f.name: _write(getattr(config, f.name)) for f in dataclasses.fields(config)}


def _docstrings(cls: type) -> dict[str, str]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    body = tree.body[0].body  # type: ignore[attr-defined]
    found = {}
    for statement, following in itertools.pairwise(body):
        if not (isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)):
            continue
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            found[statement.target.id] = inspect.cleandoc(str(following.value.value))
    return found


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _read(name: str, kind: Any, value: Any) -> Any:
    """`value` as `kind`; a whole number may stand for a float, a list for a tuple, nothing else is converted."""
    if isinstance(value, int) and abs(value) > GREATEST:
        raise ValueError(f"{name} must be at most {GREATEST}, and at least {-GREATEST}")
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _read_union(name, kind, value)
    if origin is Literal:
        if value in get_args(kind) and not isinstance(value, bool):
            return value
        raise ValueError(f"{name} must be one of {', '.join(map(str, get_args(kind)))}, not {value!r}")
    if origin is tuple and isinstance(value, list | tuple):
        return _read_tuple(name, get_args(kind), value)
    if origin is None and dataclasses.is_dataclass(kind):
        return value if isinstance(value, kind) else from_dict(kind, value)  # type: ignore[arg-type]
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind in (int, float, str, bool, type(None)) and type(value) is kind:
        return value
    raise ValueError(f"{name} must be {getattr(kind, '__name__', kind)}, not {value!r}")


def _read_union(name: str, kind: Any, value: Any) -> Any:
    for option in get_args(kind):
        try:
            return _read(name, option, value)
        except ValueError:
            continue
    raise ValueError(
        f"{name} must be {' or '.join(getattr(o, '__name__', str(o)) for o in get_args(kind))}, not {value!r}"
    )


def _read_tuple(name: str, kinds: tuple[Any, ...], values: list[Any] | tuple[Any, ...]) -> tuple[Any, ...]:
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(values)
    if len(kinds) != len(values):
        raise ValueError(f"{name} must hold {len(kinds)} values, not {len(values)}")
    return tuple(_read(f"{name}[{i}]", kind, value) for i, (kind, value) in enumerate(zip(kinds, values, strict=True)))


def _write(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_dict(value)
    if isinstance(value, tuple | list):
        return [_write(item) for item in value]
    return value


def at_least(name: str, value: float, least: float) -> None:
    """Raises ValueError, naming both numbers, unless `value` is finite and at least `least`."""
    if not (math.isfinite(value) and value >= least):
        raise ValueError(f"{name} ({value}) must be at least {least}")


def above_zero(name: str, value: float) -> None:
    """Raises ValueError unless `value` is finite and above 0."""
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} ({value}) must be above 0")


def share(name: str, value: float) -> None:
    """Raises ValueError unless `value` is above 0 and at most 1."""
    if not 0 < value <= 1:
        raise ValueError(f"{name} ({value}) must be above 0 and at most 1")
