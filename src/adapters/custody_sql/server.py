"""Whether money may be kept on a PostgreSQL server.

Rules of this file

1. Asked once, at the start, by a plain session: what the server, the database and the role set is all in the answer.
2. A refusal names what is wrong as the server names it, and what to do about it.
"""

from __future__ import annotations

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from custody_core.errors import DatabaseUnavailable
from custody_sql.engine import for_reading, is_sqlite
from custody_sql.errors import translate

OLDEST_VERSION = 15
"""The oldest PostgreSQL that the tests run on."""

_LOSES_COMMITS = {
    "fsync": "a crash of the machine can damage the whole database",
    "full_page_writes": "a crash of the machine can leave pages half written",
    "synchronous_commit": "a crash loses payments and deposits that were already confirmed",
}
"""Settings that must not be `off`, and why."""

_SOURCES = {"user": "set for the role", "database": "set for the database", "database user": "set for the role in the database"}
"""Where the server says a setting comes from, where its own word does not tell enough."""

_SETTINGS = text(
    "SELECT name, setting, source FROM pg_settings"
    " WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit', 'server_version_num', 'server_version', 'server_encoding')"
    " UNION ALL SELECT 'is_standby', CASE WHEN pg_is_in_recovery() THEN 'on' ELSE 'off' END, ''"
)


def require_safe(engine: Engine) -> None:
    """Raises `DatabaseUnavailable`, naming the reason, where a commit could be lost. SQLite's durability is set by ourselves."""
    if is_sqlite(engine):
        return
    try:
        with for_reading(engine).connect() as connection:
            rows = connection.execute(_SETTINGS).all()
    except SQLAlchemyError as error:
        raise translate(error) from error
    values = {row.name: row.setting for row in rows}
    if int(values["server_version_num"]) < OLDEST_VERSION * 10_000:
        raise DatabaseUnavailable(
            f"the server is PostgreSQL {values['server_version']}; this needs {OLDEST_VERSION} or newer", setting="server_version"
        )
    if values["server_encoding"] != "UTF8":
        raise DatabaseUnavailable(
            f"the database is encoded in {values['server_encoding']}; make one with ENCODING 'UTF8'", setting="server_encoding"
        )
    if values["is_standby"] == "on":
        raise DatabaseUnavailable("this server is a standby, which takes no changes; DATABASE_URL has to lead to the primary")
    sources = {row.name: _SOURCES.get(row.source, row.source) for row in rows}
    for name, consequence in _LOSES_COMMITS.items():
        if values[name] == "off":
            raise DatabaseUnavailable(
                f"{name} is off on this database ({sources[name]}): {consequence}; set it to on, then start again", setting=name
            )
