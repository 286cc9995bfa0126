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
from sqlalchemy.types import JSON, LargeBinary, TypeEngine

from custody_sql.types import BaseUnits, Moment

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
        """`rows` as the values of the `by_document` form."""
        return {_ROWS: msgspec.json.encode([self._told(row) for row in rows]).decode()}

    def _told(self, row: Mapping[str, Any]) -> dict[str, Any]:
        told = dict(row)
        for name, encode in self.encoders:
            if told[name] is not None:
                told[name] = encode(told[name])
        return told


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
    encoders = ((name, _encoder(type_)) for name, type_ in types.items())
    return rows.render_derived(with_types=True), tuple((name, encode) for name, encode in encoders if encode)


def _encoder(type_: TypeEngine[Any]) -> Encode | None:
    """How a value of that column stands in a document, None where as it is. The column's own check of it is made, too."""
    match type_:
        case LargeBinary():
            return lambda value: "\\x" + bytes(value).hex()
        case BaseUnits():
            # An amount may have more digits than readers of JSON keep apart.
            return lambda value: str(type_.process_bind_param(value, _DIALECT))
        case Moment():
            return lambda value: type_.process_bind_param(value, _DIALECT)
        case _:
            return None
