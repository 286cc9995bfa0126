"""The schema and its history (Alembic)."""

from __future__ import annotations

from pathlib import Path

import attrs
from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from custody_sql.engine import for_reading, for_upgrading
from custody_sql.errors import translate

EXPECTED = "0004"
"""The newest revision: what this version of the code works on."""

_UPGRADE_LOCK = 0x75706772
"""The key of PostgreSQL's advisory lock on upgrades: "upgr" in ASCII. On SQLite BEGIN IMMEDIATE is the lock."""


@attrs.frozen
class SchemaState:
    """Which revision a database has (None: it is empty), and which this version of the code expects."""

    current: str | None
    expected: str

    @property
    def is_current(self) -> bool:
        """Whether the code may work on the database."""
        return self.current == self.expected


def check(engine: Engine) -> SchemaState:
    """The state of the schema. Raises `DatabaseUnavailable`."""
    try:
        with for_reading(engine).connect() as connection:
            return SchemaState(_current(connection), EXPECTED)
    except DBAPIError as error:
        raise translate(error) from error


def upgrade(engine: Engine, *, revision: str = "head") -> SchemaState:
    """Brings the schema up to date in one transaction, and says what it is now. Safe to run by several processes at once.

    Raises `DatabaseUnavailable`; `Conflict` when others kept the database busy.
    """
    # Imported here: whoever only opens a prepared database does not pay for it at start-up.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    try:
        with for_upgrading(engine).begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
            return SchemaState(_current(connection), EXPECTED)
    except DBAPIError as error:
        raise translate(error) from error


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
