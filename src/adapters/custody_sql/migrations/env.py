"""Run by Alembic for every command, on the connection that `upgrade` hands over."""

from __future__ import annotations

from alembic import context

from custody_sql.tables import metadata

connection = context.config.attributes["connection"]
# The caller's transaction is around everything: Alembic's own would be in the way.
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True, transaction_per_migration=False)
with context.begin_transaction():
    context.run_migrations()
