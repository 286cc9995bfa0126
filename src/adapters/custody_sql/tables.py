"""The tables.

Rules of this file

1. What must never happen twice has a unique key here: a nonce, a deposit, a credit, an external id, a used idempotency key.
   The services check too, for a better message; this is what holds when they are wrong or late.
2. A column is named like the field that it keeps. `asset` is `Asset.key`; a value within a value has its name in front.
3. Foreign keys are checked at the commit, so that the order of statements within a unit means nothing.
4. Sealed keys are in a table of their own, so that a database role can be kept from it.
5. This describes what the migrations make; a test compares the two. What SQL triggers forbid is in the migrations alone.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    TextClause,
    text,
)
from sqlalchemy import PrimaryKeyConstraint as PrimaryKey
from sqlalchemy import UniqueConstraint as Unique

from custody_sql.types import JSON, BaseUnits, BigInteger, LargeBinary, Moment, RowNumber, SignedUnits, Text

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
IS_CANONICAL = text("NOT reverted")
IS_ACTIVE = text("active")
"""Conditions of partial indexes, written in queries word for word: that is how a planner recognises the index."""


def _references(column: str) -> ForeignKey:
    return ForeignKey(column, deferrable=True, initially="DEFERRED")


def _partial(name: str, *columns: str, where: str | TextClause, unique: bool = False) -> Index:
    """An index over the rows that fulfil a condition."""
    condition = text(where) if isinstance(where, str) else where
    return Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


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
    Column("user_id", Text, _references("users.id"), nullable=False),
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
    Column("owner_id", Text, _references("users.id")),
    Column("label", Text),
    Column("external_id", Text),
    Column("metadata", JSON, nullable=False),
    Column("version", Integer, nullable=False),
    Unique("owner_id", "external_id"),
    _partial("ix_wallets_pool", "sequence", where="owner_id IS NULL"),
    Index("ix_wallets_owner_id_created_at_id", "owner_id", "created_at", "id"),
)

sealed_keys = Table(
    "sealed_keys",
    metadata,
    Column("wallet_id", Text, _references("wallets.id"), primary_key=True),
    Column("address", Text, nullable=False, unique=True),
    Column("key_version", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)

transactions = Table(
    "transactions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("wallet_id", Text, _references("wallets.id"), nullable=False),
    Column("owner_id", Text, _references("users.id"), nullable=False),
    Column("chain_id", BigInteger, nullable=False),
    Column("asset", Text, nullable=False),
    Column("alias", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("type", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("to", Text, nullable=False),
    Column("amount", BaseUnits, nullable=False),
    Column("gas_limit", BigInteger, nullable=False),
    Column("fee_tier", Text, nullable=False),
    Column("fee_per_gas_max_wei", BaseUnits, nullable=False),
    Column("policy_verdict", Text, nullable=False),
    Column("policy_ids", JSON, nullable=False),
    Column("policy_rules", JSON, nullable=False),
    Column("external_id", Text),
    Column("metadata", JSON, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("state", Text, nullable=False),
    Column("due_at", Moment),
    Column("nonce", BigInteger),
    Column("decision_id", Text),  # no foreign key: the decision names its transaction already, and a circle cannot be created
    Column("inclusion_attempt_id", Text),
    Column("inclusion_block_number", BigInteger),
    Column("inclusion_block_hash", Text),
    Column("inclusion_block_timestamp", Moment),
    Column("inclusion_succeeded", Boolean),
    Column("inclusion_gas_used", BigInteger),
    Column("inclusion_effective_gas_price_wei", BaseUnits),
    Column("reason", Text),
    Column("parked_reason", Text),
    Column("cancel_requested_at", Moment),
    Column("version", Integer, nullable=False),
    Unique("owner_id", "external_id"),
    Unique("chain_id", "sender", "nonce"),
    CheckConstraint("nonce >= 0", name="nonce"),
    _partial("ix_transactions_due", "chain_id", "due_at", "id", where="due_at IS NOT NULL"),
    _partial("ix_transactions_external_id", "external_id", "id", where="external_id IS NOT NULL"),
    Index("ix_transactions_owner_id_id", "owner_id", "id"),
    Index("ix_transactions_wallet_id_id", "wallet_id", "id"),
    _partial("ix_transactions_in_flight", "wallet_id", "chain_id", where=HOLDS_NONCE),
    _partial("ix_transactions_confirming", "chain_id", "inclusion_block_number", "id", where=IS_CONFIRMING),
)

attempts = Table(
    "attempts",
    metadata,
    Column("transaction_id", Text, _references("transactions.id"), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("id", Text, nullable=False, unique=True),
    Column("chain_id", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("max_fee_per_gas_wei", BaseUnits, nullable=False),
    Column("max_priority_fee_per_gas_wei", BaseUnits, nullable=False),
    Column("planned_at", Moment, nullable=False),
    Column("state", Text, nullable=False),
    Column("raw", LargeBinary),
    Column("hash", Text),
    Column("first_sent_at", Moment),
    PrimaryKey("transaction_id", "ordinal"),
    Unique("chain_id", "hash"),
    CheckConstraint("(raw IS NULL) = (hash IS NULL)", name="hash_of_raw"),
    sqlite_with_rowid=False,
)

nonce_lines = Table(
    "nonce_lines",
    metadata,
    Column("chain_id", BigInteger, nullable=False),
    Column("address", Text, nullable=False),
    Column("next_nonce", BigInteger, nullable=False),
    PrimaryKey("chain_id", "address"),
)

deposits = Table(
    "deposits",
    metadata,
    Column("id", Text, primary_key=True),
    Column("chain_id", BigInteger, nullable=False),
    Column("transaction_hash", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("asset", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("to", Text, nullable=False),
    Column("amount", BaseUnits, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("alias", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("wallet_id", Text, _references("wallets.id"), nullable=False),
    Column("state", Text, nullable=False),
    Column("block_number", BigInteger, nullable=False),
    Column("block_hash", Text, nullable=False),
    Column("block_timestamp", Moment, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("reason", Text),
    Column("version", Integer, nullable=False),
    Unique("transaction_hash", "chain_id", "kind", "asset", "sender", "to", "amount", "ordinal", name="uq_deposits_key"),
    Index("ix_deposits_wallet_id_id", "wallet_id", "id"),
    _partial("ix_deposits_confirming", "chain_id", "block_number", "id", where=IS_CONFIRMING),
)

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
    Column("chain_id", BigInteger, _references("chains.chain_id"), nullable=False),
    Column("hash", Text, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("parent_hash", Text, nullable=False),
    Column("timestamp", Moment, nullable=False),
    Column("reverted", Boolean, nullable=False),
    PrimaryKey("chain_id", "hash"),
    _partial("uq_headers_canonical", "chain_id", "number", where=IS_CANONICAL, unique=True),
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
    Column("version", Integer, nullable=False),
    Unique("chain_id", "contract"),
    Unique("chain_id", "alias"),
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", RowNumber, primary_key=True),
    Column("chain_id", BigInteger, nullable=False),
    Column("asset", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("wallet_id", Text, _references("wallets.id")),
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
    _partial("uq_accounts_of_wallet", "wallet_id", "chain_id", "asset", "kind", where="wallet_id IS NOT NULL", unique=True),
    _partial("uq_accounts_of_system", "chain_id", "asset", "kind", where="wallet_id IS NULL", unique=True),
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
    Column("account_id", RowNumber, _references("accounts.id"), nullable=False),
    Column("delta", SignedUnits, nullable=False),
    PrimaryKey("reference", "reason", "ordinal"),
    ForeignKeyConstraint(
        ["reference", "reason"], ["posting_groups.reference", "posting_groups.reason"], deferrable=True, initially="DEFERRED"
    ),
    CheckConstraint("CAST(delta AS TEXT) <> '0'", name="moves_something"),
    sqlite_with_rowid=False,
)

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
    _partial("uq_policies_active", "layer", "subject", where="active AND subject IS NOT NULL", unique=True),
    _partial("uq_policies_active_global", "layer", where="active AND subject IS NULL", unique=True),
)

decisions = Table(
    "decisions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("transaction_id", Text, _references("transactions.id"), nullable=False, index=True),
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
    _partial("ix_audit_unsealed", "position", where="sequence IS NULL"),
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
    _partial("ix_events_unnumbered", "position", where="sequence IS NULL"),
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
