"""Many new rows at once: PostgreSQL's COPY.

It is the cheapest way to hand a server rows, and takes one more trip to it than a statement does: worth it for hundreds of them.
Rows that are there already end it as they end an INSERT.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

import attrs
import msgspec
import psycopg
from psycopg.sql import SQL, Composed, Identifier
from sqlalchemy import Connection, Dialect, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import JSON, TypeDecorator, TypeEngine

ROWS_MIN: Final = 200
"""From so many rows on it is faster, even where a trip to the server takes a millisecond."""

_DIALECT: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]


@attrs.frozen(eq=False)
class Copying:
    """A COPY statement, and how the values of its columns are written where not as they are."""

    statement: Composed
    names: tuple[str, ...]
    encoders: tuple[tuple[int, Callable[[Any], Any]], ...]

    def told(self, row: Mapping[str, Any]) -> Sequence[Any]:
        """A row's values, in the order of the statement."""
        values = [row[name] for name in self.names]
        for index, encode in self.encoders:
            if values[index] is not None:
                values[index] = encode(values[index])
        return values


def copy_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts `rows`, all with the same columns, on PostgreSQL. Raises `DBAPIError` as a statement would."""
    copying = _copying(table, tuple(rows[0]))
    driver = cast("psycopg.Connection[Any]", connection.connection.dbapi_connection)
    try:
        with driver.cursor() as cursor, cursor.copy(copying.statement) as copy:
            for row in rows:
                copy.write_row(copying.told(row))
    except psycopg.Error as problem:
        raise DBAPIError("COPY", None, problem, connection_invalidated=driver.broken) from problem


@functools.cache
def _copying(table: Table, names: tuple[str, ...]) -> Copying:
    encoders = ((index, _encoder(table.c[name].type)) for index, name in enumerate(names))
    return Copying(
        SQL("COPY {} ({}) FROM STDIN").format(Identifier(table.name), SQL(", ").join(map(Identifier, names))),
        names,
        tuple((index, encode) for index, encode in encoders if encode),
    )


def _encoder(type_: TypeEngine[Any]) -> Callable[[Any], Any] | None:
    """The column's own check of a value is made, too."""
    match type_:
        case JSON():
            return lambda value: msgspec.json.encode(value).decode()
        case TypeDecorator() if type(type_).process_bind_param is not TypeDecorator.process_bind_param:
            return lambda value: type_.process_bind_param(value, _DIALECT)
        case _:
            return None
