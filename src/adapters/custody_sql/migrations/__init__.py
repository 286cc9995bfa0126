"""The schema and its history (Alembic)."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import attrs
from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from custody_core.errors import DatabaseUnavailable
from custody_sql.engine import for_reading, for_upgrading, make_durable
from custody_sql.errors import translate
from custody_sql.tables import metadata

EXPECTED = "0010"
"""The newest revision: what this version of the code works on."""

_UPGRADE_LOCK = 0x75706772
"""The key of PostgreSQL's advisory lock on upgrades: "upgr" in ASCII. On SQLite BEGIN IMMEDIATE is the lock."""

_REVISION = re.compile(r"[0-9]{4}", re.ASCII)
"""How revisions of ours are named. Alembic's table alone tells nothing: other programs have one, too."""


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


def require_upgradable(engine: Engine) -> None:
    """Raises `DatabaseUnavailable` for a database that is somebody else's, or of a newer version. Changes nothing."""
    try:
        with for_reading(engine).connect() as connection:
            _require_upgradable(connection)
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
    require_upgradable(engine)
    try:
        make_durable(engine)
        with for_upgrading(engine).begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
            _require_upgradable(connection)  # again, now that nobody else upgrades it meanwhile
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
            return SchemaState(_current(connection), EXPECTED)
    except sqlite3.Error as error:
        raise translate(DBAPIError.instance(None, None, error, sqlite3.Error)) from error
    except DBAPIError as error:
        raise translate(error) from error


def _require_upgradable(connection: Connection) -> None:
    current, ours = _current(connection), _tables_of_ours(connection)
    # Tables beside ours are welcome (a shop's orders); under the names of ours they are somebody else's.
    if (current is None and ours) or (current is not None and not (ours and _REVISION.fullmatch(current))):
        raise _foreign()
    if current is not None and current > EXPECTED:
        raise DatabaseUnavailable("the database was prepared by a newer version; update this one")


def _tables_of_ours(connection: Connection) -> set[str]:
    return metadata.tables.keys() & set(inspect(connection).get_table_names())


def _foreign() -> DatabaseUnavailable:
    return DatabaseUnavailable("the database belongs to another program and was left as it is; check DATABASE_URL")


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
