"""Indexes of the books: the postings of an account, and the accounts that hold what nothing explains."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Two indexes."""
    op.create_index("ix_postings_account_id", "postings", ["account_id"])
    suspense = sa.text("kind = 'suspense'")
    op.create_index("ix_accounts_suspense", "accounts", ["id"], sqlite_where=suspense, postgresql_where=suspense)
