"""What left a wallet although nothing asked for it, and what a cancellation may pay."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from custody_sql import types

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """A table of outflows, and one column of transactions."""
    op.add_column("transactions", sa.Column("cancel_fee_per_gas_max_wei", types.BaseUnits(), nullable=True))
    op.create_table(
        "outflows",
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("transaction_hash", types.Text(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column(
            "wallet_id",
            types.Text(),
            sa.ForeignKey("wallets.id", name=op.f("fk_outflows_wallet_id"), deferrable=True, initially="DEFERRED"),
            nullable=False,
        ),
        sa.Column("asset", types.Text(), nullable=False),
        sa.Column("amount", types.BaseUnits(), nullable=False),
        sa.Column("block_number", sa.BigInteger(), nullable=False),
        sa.Column("block_hash", types.Text(), nullable=False),
        sa.Column("block_timestamp", types.Moment(), nullable=False),
        sa.Column("settled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "transaction_hash", "ordinal", name=op.f("pk_outflows")),
    )
    unsettled = sa.text("NOT settled")
    op.create_index(
        "ix_outflows_unsettled", "outflows", ["chain_id", "block_number"], sqlite_where=unsettled, postgresql_where=unsettled
    )
