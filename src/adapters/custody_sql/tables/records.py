"""What was decided, said and done."""

from __future__ import annotations

from sqlalchemy import Boolean, CheckConstraint, Column, Index, Table
from sqlalchemy import PrimaryKeyConstraint as PrimaryKey

from custody_sql.tables.base import (
    metadata,
    partial,
    references,
)
from custody_sql.types import JSON, BaseUnits, BigInteger, LargeBinary, Moment, RowNumber, Text

policies = Table(
    "policies",
    metadata,
    Column("id", Text, primary_key=True),
    Column("layer", Text, nullable=False),
    Column("subject", Text),
    Column("document", JSON, nullable=False),
    Column("published_at", Moment, nullable=False),
    Column("active", Boolean, nullable=False),
    CheckConstraint("(layer = 'global') = (subject IS NULL)", name="subject"),
    partial("uq_policies_active", "layer", "subject", where="active AND subject IS NOT NULL", unique=True),
    partial("uq_policies_active_global", "layer", where="active AND subject IS NULL", unique=True),
)

decisions = Table(
    "decisions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("transaction_id", Text, references("transactions.id"), nullable=False, index=True),
    Column("verdict", Text, nullable=False),
    Column("rules", JSON, nullable=False),
    Column("policy_ids", JSON, nullable=False),
    Column("inputs", JSON, nullable=False),
    Column("nonce", BigInteger),
    Column("fee_per_gas_max_wei", BaseUnits, nullable=False),
    Column("gas_limit", BigInteger, nullable=False),
    Column("decided_at", Moment, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("scope", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("object_id", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("answer", JSON, nullable=False, server_default="{}"),  # the default is for rows from before answers were kept
    PrimaryKey("scope", "key"),
)

audit = Table(
    "audit",
    metadata,
    Column("position", RowNumber, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("occurred_at", Moment, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("object_id", Text, nullable=False),
    Column("detail", JSON, nullable=False),
    Column("sequence", BigInteger, unique=True),
    Column("hash", LargeBinary),
    CheckConstraint("(sequence IS NULL) = (hash IS NULL)", name="sealed"),
    partial("ix_audit_unsealed", "position", where="sequence IS NULL"),
)

events = Table(
    "events",
    metadata,
    Column("position", RowNumber, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("type", Text, nullable=False),
    Column("occurred_at", Moment, nullable=False),
    Column("object_id", Text, nullable=False),
    Column("owner_id", Text),
    Column("data", JSON, nullable=False),
    Column("sequence", BigInteger, unique=True),
    partial("ix_events_unnumbered", "position", where="sequence IS NULL"),
    Index("ix_events_owner_id_sequence", "owner_id", "sequence"),
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until", Moment, nullable=False),
)

settings = Table(
    "settings",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
