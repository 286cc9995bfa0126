"""Statements that write a set of rows.

PostgreSQL is given one array per column and makes rows of them itself: one statement to send, plan and answer, however many rows
there are. SQLite lives in this process, where a statement for each row costs no more.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from sqlalchemy import Executable, Table, TableValuedAlias, bindparam, column, func, insert, select, true, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import ARRAY

_ARRAY = "all_{}"
"""What the array of a column is called; a column's own name is taken in an INSERT or UPDATE."""

_ALL = true()

Rows = Sequence[Mapping[str, Any]]


@attrs.frozen(eq=False)
class SetStatement:
    """One statement in two forms: run once for each row on SQLite, once for arrays of all rows on PostgreSQL."""

    by_row: Executable
    by_arrays: Executable


def arrays_of(rows: Rows) -> dict[str, list[Any]]:
    """`rows` as the values of a `by_arrays` form."""
    return {_ARRAY.format(name): [row[name] for row in rows] for name in rows[0]}


@functools.cache
def adding(table: Table, names: tuple[str, ...]) -> SetStatement:
    """An INSERT of rows with these columns."""
    return SetStatement(insert(table), postgresql.insert(table).from_select(names, select(*_source(table, names).c)))


@functools.cache
def versioned_update(table: Table, names: tuple[str, ...], key: str = "id") -> SetStatement:
    """An UPDATE of rows to their next version: it leaves out those whose stored version is not the one before.

    Give it rows of `versioned`.
    """
    of_row_before = (table.c[key] == bindparam("stored_key")) & (table.c.version == bindparam("stored_version"))
    source = _source(table, (*names, "stored_key", "stored_version"), stored_key=key, stored_version="version")
    of_row = (table.c[key] == source.c.stored_key) & (table.c.version == source.c.stored_version)
    return SetStatement(
        update(table).where(of_row_before).values({name: bindparam(name) for name in names}),
        update(table).where(of_row).values({name: source.c[name] for name in names}),
    )


@functools.cache
def putting(table: Table, names: tuple[str, ...], key: tuple[str, ...], changes: tuple[str, ...]) -> SetStatement:
    """An INSERT of rows that changes the named columns instead where the key exists."""
    by_row, by_arrays = sqlite.insert(table), postgresql.insert(table).from_select(names, select(*_source(table, names).c))
    return SetStatement(
        by_row.on_conflict_do_update(index_elements=key, set_={name: by_row.excluded[name] for name in changes}),
        by_arrays.on_conflict_do_update(index_elements=key, set_={name: by_arrays.excluded[name] for name in changes}),
    )


def keyed_update(table: Table, names: tuple[str, ...], *, only: Any = _ALL) -> SetStatement:
    """An UPDATE of rows by their `id`; it leaves out those of which `only` is not so. Give it rows with `row_key`."""
    source = _source(table, (*names, "row_key"), row_key="id")
    return SetStatement(
        update(table).where(table.c.id == bindparam("row_key"), only).values({name: bindparam(name) for name in names}),
        update(table).where(table.c.id == source.c.row_key, only).values({name: source.c[name] for name in names}),
    )


def versioned(key: object, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row for a `versioned_update`."""
    return {**row, "stored_key": key, "stored_version": row["version"] - 1}


def _source(table: Table, names: tuple[str, ...], **renamed: str) -> TableValuedAlias:
    """The rows that arrays make, with a column for each name; `renamed` says whose type a name has that is no column's."""
    types = {name: table.c[renamed.get(name, name)].type for name in names}
    arrays = [bindparam(_ARRAY.format(name), type_=ARRAY(type_, dimensions=1)) for name, type_ in types.items()]
    columns: list[Any] = [column(name, type_) for name, type_ in types.items()]
    return func.unnest(*arrays).table_valued(*columns, name="given").render_derived()
