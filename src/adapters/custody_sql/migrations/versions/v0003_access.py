"""Roles, API keys, and the answers that idempotency keys repeat."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from custody_sql import types

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Roles, API keys, answers."""
    op.add_column("users", sa.Column("role", types.Text(), server_default="user", nullable=False))
    op.add_column("idempotency_keys", sa.Column("answer", sa.JSON(), server_default="{}", nullable=False))
    op.create_table(
        "api_keys",
        sa.Column("id", types.Text(), nullable=False),
        sa.Column("user_id", types.Text(), nullable=False),
        sa.Column("name", types.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("expires_at", types.Moment(), nullable=True),
        sa.Column("revoked_at", types.Moment(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_api_keys_user_id"), initially="DEFERRED", deferrable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_keys_digest")),
    )
    op.create_index("ix_api_keys_user_id_id", "api_keys", ["user_id", "id"], unique=False)
