"""The books."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, Index, Integer, Table
from sqlalchemy import PrimaryKeyConstraint as PrimaryKey
from sqlalchemy import UniqueConstraint as Unique

from custody_sql.tables.base import (
    IS_SUSPENSE,
    metadata,
    partial,
    references,
)
from custody_sql.types import BigInteger, Moment, RowNumber, SignedUnits, Text

accounts = Table(
    "accounts",
    metadata,
    Column("id", RowNumber, primary_key=True),
    Column("chain_id", BigInteger, nullable=False),
    Column("asset", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("wallet_id", Text, references("wallets.id")),
    Column("balance", SignedUnits, nullable=False),
    CheckConstraint(
        "(kind IN ('available', 'reserved', 'quarantined', 'suspense') AND wallet_id IS NOT NULL)"
        " OR (kind IN ('external', 'fees') AND wallet_id IS NULL)",
        name="kind",
    ),
    CheckConstraint(
        "kind NOT IN ('available', 'reserved', 'quarantined') OR substr(CAST(balance AS TEXT), 1, 1) <> '-'",
        name="not_negative",
    ),
    partial("uq_accounts_of_wallet", "wallet_id", "chain_id", "asset", "kind", where="wallet_id IS NOT NULL", unique=True),
    partial("uq_accounts_of_system", "chain_id", "asset", "kind", where="wallet_id IS NULL", unique=True),
    partial("ix_accounts_suspense", "id", where=IS_SUSPENSE),
)

posting_groups = Table(
    "posting_groups",
    metadata,
    Column("position", RowNumber, primary_key=True),
    Column("chain_id", BigInteger, nullable=False),
    Column("reference", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("posted_at", Moment, nullable=False),
    Column("height", BigInteger),
    Unique("reference", "reason"),
)

postings = Table(
    "postings",
    metadata,
    Column("reference", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("account_id", RowNumber, references("accounts.id"), nullable=False),
    Column("delta", SignedUnits, nullable=False),
    PrimaryKey("reference", "reason", "ordinal"),
    ForeignKeyConstraint(
        ["reference", "reason"], ["posting_groups.reference", "posting_groups.reason"], deferrable=True, initially="DEFERRED"
    ),
    CheckConstraint("CAST(delta AS TEXT) <> '0'", name="moves_something"),
    Index("ix_postings_account_id", "account_id"),
    sqlite_with_rowid=False,
)
