"""Statements that write a set of rows.

PostgreSQL is given all rows as one JSON text and makes rows of them itself: one statement to send, plan and answer, however many
rows there are, and one value for the driver to write down instead of one for each cell. SQLite lives in this process, where a
statement for each row costs no more.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import msgspec
from sqlalchemy import (
    Dialect,
    Executable,
    Table,
    TableValuedAlias,
    Text,
    bindparam,
    cast,
    column,
    func,
    insert,
    select,
    true,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import JSON, LargeBinary, TypeDecorator, TypeEngine

_ROWS = "all_rows"
_ALL = true()
_DIALECT: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]

Rows = Sequence[Mapping[str, Any]]
Encode = Callable[[Any], Any]


@attrs.frozen(eq=False)
class SetStatement:
    """One statement in two forms: run once for each row on SQLite, once for the document of all rows on PostgreSQL."""

    by_row: Executable
    by_document: Executable
    encoders: tuple[tuple[str, Encode], ...]

    def document(self, rows: Rows) -> dict[str, str]:
        """`rows` as the values of the `by_document` form. What is left out of a row is NULL."""
        told = [{name: encode(row[name]) for name, encode in self.encoders if row[name] is not None} for row in rows]
        return {_ROWS: msgspec.json.encode(told).decode()}


@functools.cache
def adding(table: Table, names: tuple[str, ...]) -> SetStatement:
    """An INSERT of rows with these columns."""
    source, encoders = _source(table, names)
    return SetStatement(insert(table), postgresql.insert(table).from_select(names, select(*source.c)), encoders)


@functools.cache
def versioned_update(table: Table, names: tuple[str, ...], key: str = "id") -> SetStatement:
    """An UPDATE of rows to their next version: it leaves out those whose stored version is not the one before.

    Give it rows of `versioned`.
    """
    of_row_before = (table.c[key] == bindparam("stored_key")) & (table.c.version == bindparam("stored_version"))
    source, encoders = _source(table, (*names, "stored_key", "stored_version"), stored_key=key, stored_version="version")
    of_row = (table.c[key] == source.c.stored_key) & (table.c.version == source.c.stored_version)
    return SetStatement(
        update(table).where(of_row_before).values({name: bindparam(name) for name in names}),
        update(table).where(of_row).values({name: source.c[name] for name in names}),
        encoders,
    )


@functools.cache
def putting(
    table: Table, names: tuple[str, ...], key: tuple[str, ...], changes: tuple[str, ...], *, never_down: str | None = None
) -> SetStatement:
    """An INSERT of rows that changes the named columns instead where the key exists; it leaves out those in which the column
    `never_down` would become less.
    """
    source, encoders = _source(table, names)

    def put(into: postgresql.Insert | sqlite.Insert) -> Executable:
        forward = None if never_down is None else table.c[never_down] <= into.excluded[never_down]
        return into.on_conflict_do_update(index_elements=key, set_={name: into.excluded[name] for name in changes}, where=forward)

    return SetStatement(put(sqlite.insert(table)), put(postgresql.insert(table).from_select(names, select(*source.c))), encoders)


def keyed_update(table: Table, names: tuple[str, ...], *, only: Any = _ALL) -> SetStatement:
    """An UPDATE of rows by their `id`; it leaves out those of which `only` is not so. Give it rows with `row_key`."""
    source, encoders = _source(table, (*names, "row_key"), row_key="id")
    return SetStatement(
        update(table).where(table.c.id == bindparam("row_key"), only).values({name: bindparam(name) for name in names}),
        update(table).where(table.c.id == source.c.row_key, only).values({name: source.c[name] for name in names}),
        encoders,
    )


def versioned(key: object, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row for a `versioned_update`."""
    return {**row, "stored_key": key, "stored_version": row["version"] - 1}


def _source(table: Table, names: tuple[str, ...], **renamed: str) -> tuple[TableValuedAlias, tuple[tuple[str, Encode], ...]]:
    """The rows that a document makes, and how its values are written; `renamed` says whose type a name has that is no column's."""
    types = {name: table.c[renamed.get(name, name)].type for name in names}
    columns: list[Any] = [column(name, type_) for name, type_ in types.items()]
    rows = func.json_to_recordset(cast(bindparam(_ROWS, type_=Text), JSON)).table_valued(*columns, name="given")
    return rows.render_derived(with_types=True), tuple((name, _encoder(type_)) for name, type_ in types.items())


def _encoder(type_: TypeEngine[Any]) -> Encode:
    """How a value of that column stands in a document. The column's own check of it is made, too."""
    if isinstance(type_, LargeBinary):
        return lambda value: None if value is None else "\\x" + bytes(value).hex()
    check = type_.bind_processor(_DIALECT) if isinstance(type_, TypeDecorator) else None
    return _plain if check is None else functools.partial(_checked, check)


def _checked(check: Encode, value: Any) -> Any:
    return value if type(value) is str else _plain(check(value))


def _plain(value: Any) -> Any:
    """An integer may have more digits than other readers of JSON keep apart."""
    return str(value) if type(value) is int else value
