"""Who froze a wallet; and tables whose rows are never taken away cannot be emptied either."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from custody_sql import types

revision = "0007"
down_revision = "0006"

_NEVER_EMPTIED = (
    "posting_groups",
    "postings",
    "decisions",
    "audit",
    "events",
    "transactions",
    "attempts",
    "deposits",
    "headers",
    "foreign_uses",
)


def upgrade() -> None:
    """One column of wallets, and triggers on PostgreSQL: SQLite has no TRUNCATE."""
    op.add_column("wallets", sa.Column("frozen_by", types.Text(), nullable=True))
    # Who it was is not known any more, and a freeze that might not be the owner's is not theirs to lift.
    op.execute("UPDATE wallets SET frozen_by = 'system' WHERE state = 'frozen'")
    if op.get_bind().dialect.name == "sqlite":
        return
    for table in _NEVER_EMPTIED:
        op.execute(
            f"CREATE TRIGGER {table}_never_emptied BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
