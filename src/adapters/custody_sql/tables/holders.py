"""Users, their API keys, wallets, and sealed keys."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, Table
from sqlalchemy import UniqueConstraint as Unique

from custody_sql.tables.base import (
    IS_FROZEN,
    metadata,
    partial,
    references,
)
from custody_sql.types import JSON, BigInteger, LargeBinary, Moment, Text

users = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),
    Column("issuer", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("disabled_at", Moment),
    Column("version", Integer, nullable=False),
    Column("role", Text, nullable=False, server_default="user"),  # the default is for rows from before there were roles
    Unique("issuer", "subject"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, references("users.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("scopes", JSON, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("revoked_at", Moment),
    Column("version", Integer, nullable=False),
    Index("ix_api_keys_user_id_id", "user_id", "id"),
)

wallets = Table(
    "wallets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("address", Text, nullable=False, unique=True),
    Column("sequence", BigInteger, nullable=False, unique=True),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("state", Text, nullable=False),
    Column("state_reason", Text),
    Column("frozen_by", Text),
    Column("owner_id", Text, references("users.id")),
    Column("label", Text),
    Column("external_id", Text),
    Column("metadata", JSON, nullable=False),
    Column("version", Integer, nullable=False),
    Unique("owner_id", "external_id"),
    partial("ix_wallets_frozen", "id", where=IS_FROZEN),
    partial("ix_wallets_pool", "sequence", where="owner_id IS NULL"),
    Index("ix_wallets_owner_id_created_at_id", "owner_id", "created_at", "id"),
)

sealed_keys = Table(
    "sealed_keys",
    metadata,
    Column("wallet_id", Text, references("wallets.id"), primary_key=True),
    Column("address", Text, nullable=False, unique=True),
    Column("key_version", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
