"""What all parts of a unit stand on: running statements on one connection, and naming what goes wrong."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, CursorResult, Executable, Row, Select, Table, any_, bindparam, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DBAPIError

from custody_core.errors import BrokenInvariant, Conflict
from custody_sql import sets
from custody_sql.copying import ROWS_MIN, copy_rows
from custody_sql.errors import translate
from custody_sql.sets import Rows, SetStatement

T = TypeVar("T")

LIST_MAX = 900
"""The most values in one IN list: SQLite takes 999 parameters in its smallest build."""

ARRAY_MAX = 10_000
"""The most values in one array of PostgreSQL's."""

STREAMED_ROWS = 2_000
"""How many rows of a stream are held at a time."""

_COUNTED = {"preserve_rowcount": True}
"""SQLAlchemy forgets how many rows an INSERT made, unless told not to."""

Insert = postgresql.Insert | sqlite.Insert
Values = Mapping[str, Any] | Sequence[Mapping[str, Any]]


class Session:
    """One connection within one transaction. `refused` says that a statement failed: then only a rollback is left."""

    def __init__(self, connection: Connection, *, writable: bool) -> None:
        self.connection = connection
        self.writable = writable
        self.refused = False
        self.pool_is_locked = False

    @property
    def is_sqlite(self) -> bool:
        return self.connection.dialect.name == "sqlite"

    def require_writable(self) -> None:
        if not self.writable:
            raise BrokenInvariant("this unit only reads")

    def rows(self, query: Executable, values: Values | None = None) -> Sequence[Row[Any]]:
        """The rows of a query."""
        return self._run(query, values).all()

    def row(self, query: Executable, values: Values | None = None) -> Row[Any] | None:
        """The first row of a query, None without one."""
        return self._run(query, values).first()

    def stream(self, query: Executable) -> Iterator[Row[Any]]:
        """The rows of a query, a few at a time, however many there are: the database keeps the rest. Read it to its end."""
        try:
            yield from self.connection.execute(query, execution_options={"yield_per": STREAMED_ROWS})
        except DBAPIError as error:
            self.refused = True
            raise translate(error) from error

    def rows_in(self, query: Select[Any], column: Any, wanted: Iterable[Any]) -> Iterator[Row[Any]]:
        """The rows of `query` whose `column` is one of `wanted`, however many those are."""
        for part in batches(wanted, LIST_MAX if self.is_sqlite else ARRAY_MAX):
            # PostgreSQL is given one array: one value to name, write down and plan with, instead of one for each.
            among = column.in_(part) if self.is_sqlite else column == any_(bindparam(None, part, ARRAY(column.type)))
            yield from self.rows(query.where(among))

    def rows_with(self, query: Select[Any], columns: Sequence[Any], wanted: Iterable[tuple[Any, ...]]) -> Iterator[Row[Any]]:
        """The rows of `query` whose `columns` together are one of `wanted`, however many those are."""
        for part in batches(wanted, LIST_MAX // len(columns)):
            yield from self.rows(query.where(tuple_(*columns).in_(part)))

    def write(self, statement: Executable, values: Values | None = None) -> int:
        """Runs a statement, once for each mapping of `values`, and tells how many rows it changed altogether."""
        self.require_writable()
        if values is not None and not values:
            return 0
        return self._run(statement, values).rowcount

    def write_all(self, statement: Executable, values: Sequence[Mapping[str, Any]]) -> None:
        """Runs a statement that changes one row for each mapping. `Conflict` when one of them found none."""
        if self.write(statement, values) != len(values):
            self.refuse()

    def add(self, table: Table, rows: Rows) -> None:
        """Inserts rows, all with the same columns."""
        self.require_writable()
        if not self.is_sqlite and len(rows) >= ROWS_MIN:
            self._copy(table, rows)
        elif rows:
            self.write_set(sets.adding(table, tuple(rows[0])), rows)

    def write_set(self, statement: SetStatement, rows: Rows) -> None:
        """Runs a statement that changes one row for each of `rows`. `Conflict` when one of them found none."""
        if self.is_sqlite:
            self.write_all(statement.by_row, rows)
        elif rows and self.write(statement.by_document, statement.document(rows)) != len(rows):
            self.refuse()

    def insert(self, table: Table) -> Insert:
        """An INSERT that can say ON CONFLICT, in the database's own dialect."""
        return _insert(table, is_sqlite=self.is_sqlite)

    def refuse(self) -> None:
        """Raises `Conflict`, and sees to it that nothing of this unit is kept."""
        self.require_writable()
        self.refused = True
        raise Conflict("somebody else changed this first")

    def _copy(self, table: Table, rows: Rows) -> None:
        try:
            copy_rows(self.connection, table, rows)
        except DBAPIError as error:
            self.refused = True
            raise translate(error) from error

    def _run(self, statement: Executable, values: Values | None) -> CursorResult[Any]:
        try:
            return self.connection.execute(statement, values, execution_options=_COUNTED)
        except DBAPIError as error:
            self.refused = True
            raise translate(error) from error


def _insert(table: Table, *, is_sqlite: bool) -> Insert:
    return sqlite.insert(table) if is_sqlite else postgresql.insert(table)


def batches(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """`values` in lists of at most `size`."""
    rest = iter(values)
    while part := list(itertools.islice(rest, size)):
        yield part
