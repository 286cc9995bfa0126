"""An index for finding a transaction by its external id among those of every owner."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """An index of external ids."""
    given = sa.text("external_id IS NOT NULL")
    op.create_index(
        "ix_transactions_external_id", "transactions", ["external_id", "id"], sqlite_where=given, postgresql_where=given
    )
