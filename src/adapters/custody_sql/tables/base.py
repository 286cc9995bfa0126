"""What all tables are made with: their names, the conditions of their indexes, references and partial indexes."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, MetaData, TextClause, text

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

HOLDS_NONCE = text("state IN ('pending_signature', 'broadcasting', 'confirming')")
"""The states in which a transaction holds a nonce and is not final."""

IS_CONFIRMING = text("state = 'confirming'")
IS_QUEUED = text("state = 'queued'")
IS_CANONICAL = text("NOT reverted")
IS_FROZEN = text("state = 'frozen'")
IS_ACTIVE = text("active")
IS_UNSETTLED = text("NOT settled")
IS_SUSPENSE = text("kind = 'suspense'")
"""Conditions of partial indexes, written in queries word for word: that is how a planner recognises the index."""


def references(column: str) -> ForeignKey:
    return ForeignKey(column, deferrable=True, initially="DEFERRED")


def partial(name: str, *columns: str, where: str | TextClause, unique: bool = False) -> Index:
    """An index over the rows that fulfil a condition."""
    condition = text(where) if isinstance(where, str) else where
    return Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)
