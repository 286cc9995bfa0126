"""The store on SQL: SQLite where the service is embedded, PostgreSQL where it is deployed."""

from custody_sql.store import SqlStore

__all__ = ["SqlStore"]
