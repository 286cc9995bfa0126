"""Indexes for lists: wallets by when they were handed out, events of one owner."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Indexes for lists."""
    op.drop_index("ix_wallets_owner_id_id", table_name="wallets")
    op.create_index("ix_wallets_owner_id_created_at_id", "wallets", ["owner_id", "created_at", "id"], unique=False)
    op.create_index("ix_events_owner_id_sequence", "events", ["owner_id", "sequence"], unique=False)
