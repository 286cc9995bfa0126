"""Chains, headers and listed tokens."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, Integer, Table
from sqlalchemy import PrimaryKeyConstraint as PrimaryKey
from sqlalchemy import UniqueConstraint as Unique

from custody_sql.tables.base import (
    IS_CANONICAL,
    metadata,
    partial,
    references,
)
from custody_sql.types import JSON, BaseUnits, BigInteger, Moment, Text

chains = Table(
    "chains",
    metadata,
    Column("chain_id", BigInteger, primary_key=True, autoincrement=False),
    *(
        Column(f"{block}_{field}", type_, nullable=False)
        for block in ("start", "cursor", "final")
        for field, type_ in (("number", BigInteger), ("hash", Text), ("timestamp", Moment))
    ),
    Column("halted_reason", Text),
    Column("version", Integer, nullable=False),
)

headers = Table(
    "headers",
    metadata,
    Column("chain_id", BigInteger, references("chains.chain_id"), nullable=False),
    Column("hash", Text, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("parent_hash", Text, nullable=False),
    Column("timestamp", Moment, nullable=False),
    Column("reverted", Boolean, nullable=False),
    PrimaryKey("chain_id", "hash"),
    partial("uq_headers_canonical", "chain_id", "number", where=IS_CANONICAL, unique=True),
)

reorganisations = Table(
    "reorganisations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("chain_id", BigInteger, references("chains.chain_id"), nullable=False),
    Column("found_at", Moment, nullable=False),
    *(
        Column(f"{block}_{field}", type_, nullable=False)
        for block in ("cursor", "ancestor")
        for field, type_ in (("number", BigInteger), ("hash", Text), ("timestamp", Moment))
    ),
    Column("deposit_ids", JSON, nullable=False),
    Column("transaction_ids", JSON, nullable=False),
    Column("events", Integer, nullable=False),
    Index("ix_reorganisations_chain_id_id", "chain_id", "id"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("chain_id", BigInteger, nullable=False),
    Column("contract", Text, nullable=False),
    Column("alias", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("symbol", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("dust", BaseUnits, nullable=False, server_default="0"),  # the default is for rows from before there was any
    Column("version", Integer, nullable=False),
    Unique("chain_id", "contract"),
    Unique("chain_id", "alias"),
)
