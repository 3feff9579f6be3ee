"""What every request writes: UPDATE and INSERT whose SQL is written once, and several of them in one round trip.

A `Change` is an UPDATE, an `Addition` the INSERT of a model's rows. Each is sent at once (`run`, `one`), or made into a
`Part` first, of which `write_together` makes one statement.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.models import Model, QuerySet
from django.db.models.sql import InsertQuery, UpdateQuery
from psycopg.types.json import Jsonb

from accounts.statements import Statement, cursor, with_literals

M = TypeVar("M", bound=Model)


class Part(NamedTuple):
    """A statement that is not sent yet."""

    sql: str
    values: list[Any]
    """Of the places in it."""
    tells: Literal["rows", "key", "found"]

    def answer(self, name: str) -> str:
        """SQL of what it tells, where it has this name beside the other parts."""
        if self.tells == "found":
            return f"EXISTS ({self.sql})"
        return f"(SELECT {'key' if self.tells == 'key' else 'count(*)'} FROM {_quoted(name)})"  # noqa: S608


class KeyOf(NamedTuple):
    """The key of a row that another part of the same statement adds."""

    part: str


def write_together(**parts: Part) -> dict[str, Any]:
    """Send several parts as one statement: name -> the number of rows changed, the key of a row added, yes or no.

    They take no order among each other, and each sees the tables as they were before: a part that needs to see what
    another one wrote goes into the next statement (PostgreSQL, "Data-Modifying Statements in WITH").
    """
    # Values are sent in the order of their places: what is asked stands behind all that is written.
    ordered = dict(sorted(parts.items(), key=lambda named: named[1].tells == "found"))
    written = ", ".join(f"{_quoted(name)} AS ({part.sql})" for name, part in ordered.items() if part.tells != "found")
    answers = ", ".join(part.answer(name) for name, part in ordered.items())
    values = [value for part in ordered.values() for value in part.values]
    asked = cursor()
    asked.execute(f"WITH {written} SELECT {answers}", values)
    return dict(zip(ordered, asked.fetchone(), strict=True))


def whether(statement: Statement[Any], **values: Any) -> Part:
    """Whether a statement finds anything, asked beside what is written."""
    return Part(*statement.text(**values), "found")


class Change(Generic[M]):
    """An UPDATE of a queryset's rows, as `QuerySet.update` makes it.

    Args:
        build: makes the queryset; called once, when models are ready.
        values: field -> value, expression or `Given`.
    """

    def __init__(self, build: Callable[[], QuerySet[M]], **values: Any) -> None:
        self._build, self._values = build, values

    def run(self, **values: Any) -> int:
        """The number of rows that were changed, for these values, which are sent as they are."""
        sql, given = self._compiled
        asked = cursor()
        asked.execute(sql, [values[name] for name in given])
        return int(asked.rowcount)

    def part(self, **values: Any) -> Part:
        sql, given = self._compiled
        return Part(f"{sql} RETURNING 1", [values[name] for name in given], "rows")

    @cached_property
    def _compiled(self) -> tuple[str, list[str]]:
        query: Any = self._build().query.chain(UpdateQuery)
        query.add_update_values(self._values)
        sql, parameters = query.get_compiler(connection.alias).as_sql()
        return with_literals(sql, list(parameters))


class Addition(Generic[M]):
    """INSERT of new rows, as `save(force_insert=True)` and `bulk_create` make it; sends no signals.

    Args:
        model: its key comes from the database.
    """

    def __init__(self, model: type[M]) -> None:
        self._model = model

    def one(self, row: M) -> M:
        """The row, which has its key now."""
        part = self.part(row)
        asked = cursor()
        asked.execute(part.sql, part.values)
        return self.added(row, asked.fetchone()[0])

    def part(self, row: M) -> Part:
        """Tells the row's key, with which `added` is to be called."""
        found = self._compiled
        values = self._values(found.fields, row)
        return Part(found.one, values, "key")

    def part_of_all(self, rows: Sequence[M], **keys: KeyOf) -> Part:
        """Tells the number of rows; their keys stay unknown. For any number the SQL is the same and is planned once.

        Args:
            keys: field -> a row that is added in the same statement, to which all of these belong.
        """
        fields = [field for field in self._compiled.fields if field.name not in keys]
        columns = [field.column for field in fields]
        given = [dict(zip(columns, map(_plain, self._values(fields, row)), strict=True)) for row in rows]
        return Part(self._sql_of_all(tuple(keys.items())), [json.dumps(given, default=str)], "rows")

    def added(self, row: M, key: int) -> M:
        """The row, with the key that it was given."""
        row.pk = key
        row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS
        return row

    @staticmethod
    def _values(fields: Sequence[Any], row: M) -> list[Any]:
        # Not the proxy of it, which looks for the thread's connection at each of the many questions of a field.
        database = connections[DEFAULT_DB_ALIAS]
        return [field.get_db_prep_save(field.pre_save(row, True), database) for field in fields]

    @cached_property
    def _compiled(self) -> _Insert:
        meta: Any = self._model._meta
        fields = [field for field in meta.local_concrete_fields if field is not meta.pk]
        compiler = InsertQuery(self._model).get_compiler(connection.alias)
        places = ", ".join(
            field.get_placeholder(None, compiler, connection) if hasattr(field, "get_placeholder") else "%s"
            for field in fields
        )
        return _Insert(fields, f"{self._into(fields)} VALUES ({places}) RETURNING {_quoted(meta.pk.column)} AS key")

    @cache  # noqa: B019 - additions are made once, as constants of their modules
    def _sql_of_all(self, keys: tuple[tuple[str, KeyOf], ...]) -> str:
        belonging = [self._model._meta.get_field(name) for name, _key in keys]
        given = [field for field in self._compiled.fields if field not in belonging]
        values = ", ".join(["given.*", *(f"(SELECT key FROM {_quoted(key.part)})" for _name, key in keys)])  # noqa: S608
        columns = ", ".join(f"{_quoted(field.column)} {field.db_type(connection)}" for field in given)
        rows = f"SELECT {values} FROM jsonb_to_recordset(%s::jsonb) AS given ({columns})"  # noqa: S608
        return f"{self._into([*given, *belonging])} {rows} RETURNING 1"

    def _into(self, fields: Sequence[Any]) -> str:
        columns = ", ".join(_quoted(field.column) for field in fields)
        return f"INSERT INTO {_quoted(self._model._meta.db_table)} ({columns})"


class _Insert(NamedTuple):
    fields: list[Any]
    """All but the key."""
    one: str
    """The SQL for one row."""


def _quoted(name: str) -> str:
    return connection.ops.quote_name(name)


def _plain(value: Any) -> Any:
    return value.obj if isinstance(value, Jsonb) else value
