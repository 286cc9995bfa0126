"""Contract calls and access lists, stuck and sped up sends, and nonces that somebody else has used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from custody_sql import types

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Columns of transactions, and foreign uses of nonces."""
    op.add_column("transactions", sa.Column("data", sa.LargeBinary(), nullable=True))
    op.add_column("transactions", sa.Column("access_list", sa.JSON(), nullable=True))
    op.add_column("transactions", sa.Column("inclusion_problem", types.Text(), nullable=True))
    op.add_column("transactions", sa.Column("speed_up_requested_at", types.Moment(), nullable=True))
    op.add_column("transactions", sa.Column("stuck", types.Text(), nullable=True))
    op.create_table(
        "foreign_uses",
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("hash", types.Text(), nullable=False),
        sa.Column("address", types.Text(), nullable=False),
        sa.Column("nonce", sa.BigInteger(), nullable=False),
        sa.Column("block_number", sa.BigInteger(), nullable=False),
        sa.Column("block_hash", types.Text(), nullable=False),
        sa.Column("block_timestamp", types.Moment(), nullable=False),
        sa.Column("settled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "hash", name=op.f("pk_foreign_uses")),
    )
    frozen = sa.text("state = 'frozen'")
    op.create_index("ix_wallets_frozen", "wallets", ["id"], sqlite_where=frozen, postgresql_where=frozen)
    queued = sa.text("state = 'queued'")
    op.create_index(
        "ix_transactions_queued", "transactions", ["wallet_id", "chain_id", "id"], sqlite_where=queued, postgresql_where=queued
    )
    unsettled = sa.text("NOT settled")
    op.create_index(
        "ix_foreign_uses_unsettled",
        "foreign_uses",
        ["chain_id", "block_number"],
        sqlite_where=unsettled,
        postgresql_where=unsettled,
    )
