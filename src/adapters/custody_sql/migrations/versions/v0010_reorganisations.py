"""What reorganisations took back, and below which amount a token's deposits are dust."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from custody_sql import types

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """A table of reorganisations, and one column of tokens."""
    op.add_column("tokens", sa.Column("dust", types.BaseUnits(), server_default="0", nullable=False))
    op.create_table(
        "reorganisations",
        sa.Column("id", types.Text(), nullable=False),
        sa.Column(
            "chain_id",
            sa.BigInteger(),
            sa.ForeignKey("chains.chain_id", name=op.f("fk_reorganisations_chain_id"), deferrable=True, initially="DEFERRED"),
            nullable=False,
        ),
        sa.Column("found_at", types.Moment(), nullable=False),
        sa.Column("cursor_number", sa.BigInteger(), nullable=False),
        sa.Column("cursor_hash", types.Text(), nullable=False),
        sa.Column("cursor_timestamp", types.Moment(), nullable=False),
        sa.Column("ancestor_number", sa.BigInteger(), nullable=False),
        sa.Column("ancestor_hash", types.Text(), nullable=False),
        sa.Column("ancestor_timestamp", types.Moment(), nullable=False),
        sa.Column("deposit_ids", sa.JSON(), nullable=False),
        sa.Column("transaction_ids", sa.JSON(), nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reorganisations")),
    )
    op.create_index("ix_reorganisations_chain_id_id", "reorganisations", ["chain_id", "id"])
