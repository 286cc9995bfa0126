"""What all parts of a unit stand on: running statements on one connection, and naming what goes wrong."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, CursorResult, Executable, Row, Select, Table, Update, bindparam, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from custody_core.errors import BrokenInvariant, Conflict
from custody_sql.errors import translate

T = TypeVar("T")

LIST_MAX = 900
"""The most values in one IN list: SQLite takes 999 parameters in its smallest build."""

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

    def rows_in(self, query: Select[Any], column: Any, wanted: Iterable[Any]) -> Iterator[Row[Any]]:
        """The rows of `query` whose `column` is one of `wanted`, however many those are."""
        for part in batches(wanted, LIST_MAX):
            yield from self._run(query.where(column.in_(part)), None)

    def rows_with(self, query: Select[Any], columns: Sequence[Any], wanted: Iterable[tuple[Any, ...]]) -> Iterator[Row[Any]]:
        """The rows of `query` whose `columns` together are one of `wanted`, however many those are."""
        for part in batches(wanted, LIST_MAX // len(columns)):
            yield from self._run(query.where(tuple_(*columns).in_(part)), None)

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

    def insert(self, table: Table) -> Insert:
        """An INSERT that can say ON CONFLICT, in the database's own dialect."""
        return _insert(table, is_sqlite=self.is_sqlite)

    def upsert(self, table: Table, key: tuple[str, ...], changes: tuple[str, ...]) -> Insert:
        """An INSERT that changes the named columns instead where the key exists."""
        return _upsert(table, key, changes, is_sqlite=self.is_sqlite)

    def refuse(self) -> None:
        """Raises `Conflict`, and sees to it that nothing of this unit is kept."""
        self.require_writable()
        self.refused = True
        raise Conflict("somebody else changed this first")

    def _run(self, statement: Executable, values: Values | None) -> CursorResult[Any]:
        try:
            return self.connection.execute(statement, values, execution_options=_COUNTED)
        except DBAPIError as error:
            self.refused = True
            raise translate(error) from error


def _insert(table: Table, *, is_sqlite: bool) -> Insert:
    return sqlite.insert(table) if is_sqlite else postgresql.insert(table)


@functools.cache
def _upsert(table: Table, key: tuple[str, ...], changes: tuple[str, ...], *, is_sqlite: bool) -> Insert:
    """Kept, because building it takes longer than running it for a few rows."""
    put = _insert(table, is_sqlite=is_sqlite)
    return put.on_conflict_do_update(index_elements=key, set_={name: put.excluded[name] for name in changes})


def batches(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """`values` in lists of at most `size`."""
    rest = iter(values)
    while part := list(itertools.islice(rest, size)):
        yield part


def versioned_update(table: Table, columns: Sequence[str], key: str = "id") -> Update:
    """An UPDATE of one row to its next version: it changes nothing when the stored version is not the one before.

    Give it `versioned(row)`.
    """
    is_the_one_before = (table.c[key] == bindparam("stored_key")) & (table.c.version == bindparam("stored_version"))
    return update(table).where(is_the_one_before).values({name: bindparam(name) for name in columns if name != key})


def versioned(key: object, row: Mapping[str, Any]) -> dict[str, Any]:
    """The values for a `versioned_update`."""
    return {**row, "stored_key": key, "stored_version": row["version"] - 1}
