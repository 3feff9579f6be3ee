"""What every request asks of the database: Django writes the SQL once, and each call only sends it with other values.

Writing the SQL of a query anew costs several times what sending it and making its objects does, and a labeler's click
makes a dozen of the same few queries. A `Statement` is a queryset with places left open:

    FIND = Statement(lambda: User.objects.filter(pk=Given("pk")))
    user = FIND.first(pk=7)

`accounts.writes` has their like for what is changed and added.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Generic, NamedTuple, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.backends.utils import CursorWrapper
from django.db.models import Model, QuerySet, Value
from django.db.models.query import get_related_populators
from django.db.models.sql.compiler import SQLCompiler
from psycopg.sql import Literal

M = TypeVar("M", bound=Model)


class Given(Value):
    """A place in a queryset's conditions for a value that the call names."""

    def __init__(self, name: str, **kwargs: Any) -> None:
        super().__init__(None, **kwargs)
        self.name = name

    def as_sql(self, compiler: SQLCompiler, connection: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        return "%s", [self]


def cursor() -> CursorWrapper:
    """A cursor of this thread's connection, the same one each time: a new one costs a third of a short read.

    Whoever asks takes what was found before anybody asks again. Where queries are logged it is a new one, which logs.
    """
    database = connections[DEFAULT_DB_ALIAS]
    if database.queries_logged:
        return database.cursor()
    # As `BaseDatabaseWrapper._cursor` does.
    database.close_if_health_check_failed()
    database.ensure_connection()
    database.validate_thread_sharing()
    found: CursorWrapper | None = getattr(database.connection, "statements_cursor", None)
    if found is None:
        found = database.connection.statements_cursor = database.cursor()
    return found


class _Compiled(NamedTuple):
    sql: str
    given: list[str]
    """Names of the values that are sent, in the order of their places."""
    model: type[Model]
    columns: slice
    """Of the row: the model's own."""
    names: list[str]
    populators: list[Any]
    """Make the objects of `select_related`."""
    annotations: list[tuple[str, int]]
    convert: Callable[[Any], Any]


class Statement(Generic[M]):
    """A queryset of whole objects, with or without `select_related` and annotations; no prefetching.

    Args:
        build: makes the queryset; called once, when models are ready.
    """

    def __init__(self, build: Callable[[], QuerySet[M]]) -> None:
        self._build = build

    def all(self, **values: Any) -> list[M]:
        """The objects for these values, which are sent as they are: a UUID for a UUID column, not its text."""
        found = self._compiled
        asked = cursor()
        asked.execute(found.sql, [values[name] for name in found.given])
        rows = asked.fetchall()
        return [self._object(found, row) for row in found.convert(rows)]

    def first(self, **values: Any) -> M | None:
        return next(iter(self.all(**values)), None)

    def text(self, **values: Any) -> tuple[str, list[Any]]:
        """The SQL and what is sent with it, to be asked as a part of another statement."""
        found = self._compiled
        return found.sql, [values[name] for name in found.given]

    @staticmethod
    def _object(found: _Compiled, row: Any) -> Any:
        made = found.model.from_db(DEFAULT_DB_ALIAS, found.names, row[found.columns])
        for populator in found.populators:
            populator.populate(row, made)
        for name, place in found.annotations:
            setattr(made, name, row[place])
        return made

    @cached_property
    def _compiled(self) -> _Compiled:
        """As `ModelIterable` does it for one execution."""
        compiler = self._build().query.get_compiler(connection.alias)
        sql, parameters = compiler.as_sql()
        select, info = compiler.select, compiler.klass_info
        assert select is not None
        assert info is not None
        text, given = with_literals(sql, list(parameters))
        fields = info["select_fields"]
        columns = slice(fields[0], fields[-1] + 1)
        converters = compiler.get_converters([expression for expression, *_rest in select])
        return _Compiled(
            sql=text,
            given=given,
            model=info["model"],
            columns=columns,
            names=[each[0].target.attname for each in select[columns]],
            # The stubs are ahead of Django 5.2.
            populators=get_related_populators(info, select, connection.alias),  # type: ignore[call-arg]
            annotations=list((compiler.annotation_col_map or {}).items()),
            convert=lambda rows: compiler.apply_converters(rows, converters),
        )


def with_literals(sql: str, parameters: list[Any]) -> tuple[str, list[str]]:
    """The SQL with all values in it but those that each call gives, and the names of these in their order.

    A prepared statement's plan is made without its parameters: a partial index serves it only where the values of the
    index's condition stand in the text.
    """
    connection.ensure_connection()
    first, *rest = sql.split("%s")
    places = ("%s" if isinstance(each, Given) else _literal(each) for each in parameters)
    text = first + "".join(place + part for place, part in zip(places, rest, strict=True))
    return text, [each.name for each in parameters if isinstance(each, Given)]


def _literal(value: Any) -> str:
    return Literal(value).as_string(connection.connection).replace("%", "%%")
