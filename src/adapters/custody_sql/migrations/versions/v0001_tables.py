"""The tables of the first version."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from custody_sql import types

revision = "0001"
down_revision = None


def upgrade() -> None:
    """The tables of the first version."""
    op.create_table(
        "audit",
        sa.Column("position", types.RowNumber, nullable=False),
        sa.Column("id", types.Text(), nullable=False),
        sa.Column("occurred_at", types.Moment(), nullable=False),
        sa.Column("actor", types.Text(), nullable=False),
        sa.Column("action", types.Text(), nullable=False),
        sa.Column("object_id", types.Text(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=True),
        sa.Column("hash", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint("(sequence IS NULL) = (hash IS NULL)", name=op.f("ck_audit_sealed")),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_audit")),
        sa.UniqueConstraint("id", name=op.f("uq_audit_id")),
        sa.UniqueConstraint("sequence", name=op.f("uq_audit_sequence")),
    )
    op.create_index(
        "ix_audit_unsealed",
        "audit",
        ["position"],
        unique=False,
        sqlite_where=sa.text("sequence IS NULL"),
        postgresql_where=sa.text("sequence IS NULL"),
    )
    op.create_table(
        "chains",
        sa.Column("chain_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("start_number", sa.BigInteger(), nullable=False),
        sa.Column("start_hash", types.Text(), nullable=False),
        sa.Column("start_timestamp", types.Moment(), nullable=False),
        sa.Column("cursor_number", sa.BigInteger(), nullable=False),
        sa.Column("cursor_hash", types.Text(), nullable=False),
        sa.Column("cursor_timestamp", types.Moment(), nullable=False),
        sa.Column("final_number", sa.BigInteger(), nullable=False),
        sa.Column("final_hash", types.Text(), nullable=False),
        sa.Column("final_timestamp", types.Moment(), nullable=False),
        sa.Column("halted_reason", types.Text(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", name=op.f("pk_chains")),
    )
    op.create_table(
        "events",
        sa.Column("position", types.RowNumber, nullable=False),
        sa.Column("id", types.Text(), nullable=False),
        sa.Column("type", types.Text(), nullable=False),
        sa.Column("occurred_at", types.Moment(), nullable=False),
        sa.Column("object_id", types.Text(), nullable=False),
        sa.Column("owner_id", types.Text(), nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_events")),
        sa.UniqueConstraint("id", name=op.f("uq_events_id")),
        sa.UniqueConstraint("sequence", name=op.f("uq_events_sequence")),
    )
    op.create_index(
        "ix_events_unnumbered",
        "events",
        ["position"],
        unique=False,
        sqlite_where=sa.text("sequence IS NULL"),
        postgresql_where=sa.text("sequence IS NULL"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("scope", types.Text(), nullable=False),
        sa.Column("key", types.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("object_id", types.Text(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_table(
        "leases",
        sa.Column("name", types.Text(), nullable=False),
        sa.Column("holder", types.Text(), nullable=False),
        sa.Column("until", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "nonce_lines",
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("address", types.Text(), nullable=False),
        sa.Column("next_nonce", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "address", name=op.f("pk_nonce_lines")),
    )
    op.create_table(
        "policies",
        sa.Column("id", types.Text(), nullable=False),
        sa.Column("layer", types.Text(), nullable=False),
        sa.Column("subject", types.Text(), nullable=True),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("published_at", types.Moment(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.CheckConstraint("(layer = 'global') = (subject IS NULL)", name=op.f("ck_policies_subject")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policies")),
    )
    op.create_index(
        "uq_policies_active",
        "policies",
        ["layer", "subject"],
        unique=True,
        sqlite_where=sa.text("active AND subject IS NOT NULL"),
        postgresql_where=sa.text("active AND subject IS NOT NULL"),
    )
    op.create_index(
        "uq_policies_active_global",
        "policies",
        ["layer"],
        unique=True,
        sqlite_where=sa.text("active AND subject IS NULL"),
        postgresql_where=sa.text("active AND subject IS NULL"),
    )
    op.create_table(
        "posting_groups",
        sa.Column("position", types.RowNumber, nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("reference", types.Text(), nullable=False),
        sa.Column("reason", types.Text(), nullable=False),
        sa.Column("posted_at", types.Moment(), nullable=False),
        sa.Column("height", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_posting_groups")),
        sa.UniqueConstraint("reference", "reason", name=op.f("uq_posting_groups_reference_reason")),
    )
    op.create_table(
        "settings",
        sa.Column("name", types.Text(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_settings")),
    )
    op.create_table(
        "tokens",
        sa.Column("id", types.Text(), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("contract", types.Text(), nullable=False),
        sa.Column("alias", types.Text(), nullable=False),
        sa.Column("decimals", sa.Integer(), nullable=False),
        sa.Column("symbol", types.Text(), nullable=False),
        sa.Column("name", types.Text(), nullable=False),
        sa.Column("state", types.Text(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("chain_id", "alias", name=op.f("uq_tokens_chain_id_alias")),
        sa.UniqueConstraint("chain_id", "contract", name=op.f("uq_tokens_chain_id_contract")),
    )
    op.create_table(
        "users",
        sa.Column("id", types.Text(), nullable=False),
        sa.Column("issuer", types.Text(), nullable=False),
        sa.Column("subject", types.Text(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("disabled_at", types.Moment(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("issuer", "subject", name=op.f("uq_users_issuer_subject")),
    )
    op.create_table(
        "headers",
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("hash", types.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("parent_hash", types.Text(), nullable=False),
        sa.Column("timestamp", types.Moment(), nullable=False),
        sa.Column("reverted", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["chain_id"], ["chains.chain_id"], name=op.f("fk_headers_chain_id"), initially="DEFERRED", deferrable=True
        ),
        sa.PrimaryKeyConstraint("chain_id", "hash", name=op.f("pk_headers")),
    )
    op.create_index(
        "uq_headers_canonical",
        "headers",
        ["chain_id", "number"],
        unique=True,
        sqlite_where=sa.text("NOT reverted"),
        postgresql_where=sa.text("NOT reverted"),
    )
    op.create_table(
        "wallets",
        sa.Column("id", types.Text(), nullable=False),
        sa.Column("address", types.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.Column("state", types.Text(), nullable=False),
        sa.Column("state_reason", types.Text(), nullable=True),
        sa.Column("owner_id", types.Text(), nullable=True),
        sa.Column("label", types.Text(), nullable=True),
        sa.Column("external_id", types.Text(), nullable=True),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["users.id"], name=op.f("fk_wallets_owner_id"), initially="DEFERRED", deferrable=True
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wallets")),
        sa.UniqueConstraint("address", name=op.f("uq_wallets_address")),
        sa.UniqueConstraint("owner_id", "external_id", name=op.f("uq_wallets_owner_id_external_id")),
        sa.UniqueConstraint("sequence", name=op.f("uq_wallets_sequence")),
    )
    op.create_index("ix_wallets_owner_id_id", "wallets", ["owner_id", "id"], unique=False)
    op.create_index(
        "ix_wallets_pool",
        "wallets",
        ["sequence"],
        unique=False,
        sqlite_where=sa.text("owner_id IS NULL"),
        postgresql_where=sa.text("owner_id IS NULL"),
    )
    op.create_table(
        "accounts",
        sa.Column("id", types.RowNumber, nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("asset", types.Text(), nullable=False),
        sa.Column("kind", types.Text(), nullable=False),
        sa.Column("wallet_id", types.Text(), nullable=True),
        sa.Column("balance", types.SignedUnits(), nullable=False),
        sa.CheckConstraint(
            "(kind IN ('available', 'reserved', 'quarantined', 'suspense') AND wallet_id IS NOT NULL)"
            " OR (kind IN ('external', 'fees') AND wallet_id IS NULL)",
            name=op.f("ck_accounts_kind"),
        ),
        sa.CheckConstraint(
            "kind NOT IN ('available', 'reserved', 'quarantined') OR substr(CAST(balance AS TEXT), 1, 1) <> '-'",
            name=op.f("ck_accounts_not_negative"),
        ),
        sa.ForeignKeyConstraint(
            ["wallet_id"], ["wallets.id"], name=op.f("fk_accounts_wallet_id"), initially="DEFERRED", deferrable=True
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
    )
    op.create_index(
        "uq_accounts_of_system",
        "accounts",
        ["chain_id", "asset", "kind"],
        unique=True,
        sqlite_where=sa.text("wallet_id IS NULL"),
        postgresql_where=sa.text("wallet_id IS NULL"),
    )
    op.create_index(
        "uq_accounts_of_wallet",
        "accounts",
        ["wallet_id", "chain_id", "asset", "kind"],
        unique=True,
        sqlite_where=sa.text("wallet_id IS NOT NULL"),
        postgresql_where=sa.text("wallet_id IS NOT NULL"),
    )
    op.create_table(
        "deposits",
        sa.Column("id", types.Text(), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("transaction_hash", types.Text(), nullable=False),
        sa.Column("kind", types.Text(), nullable=False),
        sa.Column("asset", types.Text(), nullable=False),
        sa.Column("sender", types.Text(), nullable=False),
        sa.Column("to", types.Text(), nullable=False),
        sa.Column("amount", types.BaseUnits(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("alias", types.Text(), nullable=False),
        sa.Column("decimals", sa.Integer(), nullable=False),
        sa.Column("wallet_id", types.Text(), nullable=False),
        sa.Column("state", types.Text(), nullable=False),
        sa.Column("block_number", sa.BigInteger(), nullable=False),
        sa.Column("block_hash", types.Text(), nullable=False),
        sa.Column("block_timestamp", types.Moment(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.Column("reason", types.Text(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["wallet_id"], ["wallets.id"], name=op.f("fk_deposits_wallet_id"), initially="DEFERRED", deferrable=True
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deposits")),
        sa.UniqueConstraint(
            "transaction_hash", "chain_id", "kind", "asset", "sender", "to", "amount", "ordinal", name="uq_deposits_key"
        ),
    )
    op.create_index(
        "ix_deposits_confirming",
        "deposits",
        ["chain_id", "block_number", "id"],
        unique=False,
        sqlite_where=sa.text("state = 'confirming'"),
        postgresql_where=sa.text("state = 'confirming'"),
    )
    op.create_index("ix_deposits_wallet_id_id", "deposits", ["wallet_id", "id"], unique=False)
    op.create_table(
        "sealed_keys",
        sa.Column("wallet_id", types.Text(), nullable=False),
        sa.Column("address", types.Text(), nullable=False),
        sa.Column("key_version", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["wallet_id"], ["wallets.id"], name=op.f("fk_sealed_keys_wallet_id"), initially="DEFERRED", deferrable=True
        ),
        sa.PrimaryKeyConstraint("wallet_id", name=op.f("pk_sealed_keys")),
        sa.UniqueConstraint("address", name=op.f("uq_sealed_keys_address")),
    )
    op.create_table(
        "transactions",
        sa.Column("id", types.Text(), nullable=False),
        sa.Column("wallet_id", types.Text(), nullable=False),
        sa.Column("owner_id", types.Text(), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("asset", types.Text(), nullable=False),
        sa.Column("alias", types.Text(), nullable=False),
        sa.Column("decimals", sa.Integer(), nullable=False),
        sa.Column("type", types.Text(), nullable=False),
        sa.Column("sender", types.Text(), nullable=False),
        sa.Column("to", types.Text(), nullable=False),
        sa.Column("amount", types.BaseUnits(), nullable=False),
        sa.Column("gas_limit", sa.BigInteger(), nullable=False),
        sa.Column("fee_tier", types.Text(), nullable=False),
        sa.Column("fee_per_gas_max_wei", types.BaseUnits(), nullable=False),
        sa.Column("policy_verdict", types.Text(), nullable=False),
        sa.Column("policy_ids", sa.JSON(), nullable=False),
        sa.Column("policy_rules", sa.JSON(), nullable=False),
        sa.Column("external_id", types.Text(), nullable=True),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("updated_at", types.Moment(), nullable=False),
        sa.Column("state", types.Text(), nullable=False),
        sa.Column("due_at", types.Moment(), nullable=True),
        sa.Column("nonce", sa.BigInteger(), nullable=True),
        sa.Column("decision_id", types.Text(), nullable=True),
        sa.Column("inclusion_attempt_id", types.Text(), nullable=True),
        sa.Column("inclusion_block_number", sa.BigInteger(), nullable=True),
        sa.Column("inclusion_block_hash", types.Text(), nullable=True),
        sa.Column("inclusion_block_timestamp", types.Moment(), nullable=True),
        sa.Column("inclusion_succeeded", sa.Boolean(), nullable=True),
        sa.Column("inclusion_gas_used", sa.BigInteger(), nullable=True),
        sa.Column("inclusion_effective_gas_price_wei", types.BaseUnits(), nullable=True),
        sa.Column("reason", types.Text(), nullable=True),
        sa.Column("parked_reason", types.Text(), nullable=True),
        sa.Column("cancel_requested_at", types.Moment(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("nonce >= 0", name=op.f("ck_transactions_nonce")),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["users.id"], name=op.f("fk_transactions_owner_id"), initially="DEFERRED", deferrable=True
        ),
        sa.ForeignKeyConstraint(
            ["wallet_id"], ["wallets.id"], name=op.f("fk_transactions_wallet_id"), initially="DEFERRED", deferrable=True
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transactions")),
        sa.UniqueConstraint("chain_id", "sender", "nonce", name=op.f("uq_transactions_chain_id_sender_nonce")),
        sa.UniqueConstraint("owner_id", "external_id", name=op.f("uq_transactions_owner_id_external_id")),
    )
    op.create_index(
        "ix_transactions_confirming",
        "transactions",
        ["chain_id", "inclusion_block_number", "id"],
        unique=False,
        sqlite_where=sa.text("state = 'confirming'"),
        postgresql_where=sa.text("state = 'confirming'"),
    )
    op.create_index(
        "ix_transactions_due",
        "transactions",
        ["chain_id", "due_at", "id"],
        unique=False,
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index(
        "ix_transactions_in_flight",
        "transactions",
        ["wallet_id", "chain_id"],
        unique=False,
        sqlite_where=sa.text("state IN ('pending_signature', 'broadcasting', 'confirming')"),
        postgresql_where=sa.text("state IN ('pending_signature', 'broadcasting', 'confirming')"),
    )
    op.create_index("ix_transactions_owner_id_id", "transactions", ["owner_id", "id"], unique=False)
    op.create_index("ix_transactions_wallet_id_id", "transactions", ["wallet_id", "id"], unique=False)
    op.create_table(
        "attempts",
        sa.Column("transaction_id", types.Text(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("id", types.Text(), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", types.Text(), nullable=False),
        sa.Column("max_fee_per_gas_wei", types.BaseUnits(), nullable=False),
        sa.Column("max_priority_fee_per_gas_wei", types.BaseUnits(), nullable=False),
        sa.Column("planned_at", types.Moment(), nullable=False),
        sa.Column("state", types.Text(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=True),
        sa.Column("hash", types.Text(), nullable=True),
        sa.Column("first_sent_at", types.Moment(), nullable=True),
        sa.CheckConstraint("(raw IS NULL) = (hash IS NULL)", name=op.f("ck_attempts_hash_of_raw")),
        sa.ForeignKeyConstraint(
            ["transaction_id"], ["transactions.id"], name=op.f("fk_attempts_transaction_id"), initially="DEFERRED", deferrable=True
        ),
        sa.PrimaryKeyConstraint("transaction_id", "ordinal", name=op.f("pk_attempts")),
        sa.UniqueConstraint("chain_id", "hash", name=op.f("uq_attempts_chain_id_hash")),
        sa.UniqueConstraint("id", name=op.f("uq_attempts_id")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "decisions",
        sa.Column("id", types.Text(), nullable=False),
        sa.Column("transaction_id", types.Text(), nullable=False),
        sa.Column("verdict", types.Text(), nullable=False),
        sa.Column("rules", sa.JSON(), nullable=False),
        sa.Column("policy_ids", sa.JSON(), nullable=False),
        sa.Column("inputs", sa.JSON(), nullable=False),
        sa.Column("nonce", sa.BigInteger(), nullable=True),
        sa.Column("fee_per_gas_max_wei", types.BaseUnits(), nullable=False),
        sa.Column("gas_limit", sa.BigInteger(), nullable=False),
        sa.Column("decided_at", types.Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["transaction_id"], ["transactions.id"], name=op.f("fk_decisions_transaction_id"), initially="DEFERRED", deferrable=True
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decisions")),
    )
    op.create_index(op.f("ix_decisions_transaction_id"), "decisions", ["transaction_id"], unique=False)
    op.create_table(
        "postings",
        sa.Column("reference", types.Text(), nullable=False),
        sa.Column("reason", types.Text(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("account_id", types.RowNumber, nullable=False),
        sa.Column("delta", types.SignedUnits(), nullable=False),
        sa.CheckConstraint("CAST(delta AS TEXT) <> '0'", name=op.f("ck_postings_moves_something")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_postings_account_id"), initially="DEFERRED", deferrable=True
        ),
        sa.ForeignKeyConstraint(
            ["reference", "reason"],
            ["posting_groups.reference", "posting_groups.reason"],
            name=op.f("fk_postings_reference_reason"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("reference", "reason", "ordinal", name=op.f("pk_postings")),
        sqlite_with_rowid=False,
    )
