"""Connections.

Rules of this file

1. SQLite: WAL, `synchronous=FULL` (a commit survives a power cut), foreign keys on. A writing transaction begins with BEGIN
   IMMEDIATE: it waits for its turn before it reads, so that what it read cannot change under it.
2. Python's sqlite3 opens transactions by itself, and at the wrong moment; that is switched off, and every BEGIN is ours.
3. PostgreSQL: a writing transaction locks the rows that it decides on; a reading one is REPEATABLE READ, READ ONLY.
4. An error says which setting to look at, and repeats nothing of the URL.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from custody_core.errors import DatabaseUnavailable

BUSY_TIMEOUT_S = 20
"""How long a writer waits for its turn. Units are short; whoever waits longer is told `Conflict` and tries again."""

_BEGIN_OPTION = "custody_begin"


def open_engine(url: str | URL) -> Engine:
    """The engine for a database URL. Connects to nothing yet. Raises `DatabaseUnavailable` for a URL that cannot work."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise DatabaseUnavailable("DATABASE_URL is not a database URL; an example is sqlite:///custody.db") from None
    match parsed.get_backend_name():
        case "sqlite":
            return _open_sqlite(parsed)
        case "postgresql":
            return _open(parsed, pool_pre_ping=True)
        case _:
            raise DatabaseUnavailable("DATABASE_URL names a database other than sqlite and postgresql+psycopg")


def for_writing(engine: Engine) -> Engine:
    """`engine`, for transactions that write."""
    return engine.execution_options(**{_BEGIN_OPTION: "BEGIN IMMEDIATE"})


def for_reading(engine: Engine) -> Engine:
    """`engine`, for transactions that read one moment."""
    if engine.dialect.name == "sqlite":
        return engine.execution_options(**{_BEGIN_OPTION: "BEGIN"})
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def has_file(engine: Engine) -> bool:
    """Whether there is something to connect to, as far as that can be told without connecting."""
    return engine.dialect.name != "sqlite" or Path(engine.url.database or "").exists()


def make_file(engine: Engine) -> None:
    """Makes an empty SQLite database, readable by its owner alone, where there is none. Raises `DatabaseUnavailable`."""
    if engine.dialect.name == "sqlite":
        try:
            Path(engine.url.database or "").touch(mode=0o600)
        except OSError:
            raise DatabaseUnavailable(
                "the database file cannot be made; check DATABASE_URL, that its folder exists, and its permissions"
            ) from None


def _open_sqlite(url: URL) -> Engine:
    if not url.database or url.database.startswith((":memory:", "file:")) or url.query:
        raise DatabaseUnavailable("the SQLite database is a plain file, as in sqlite:///custody.db; for tests: open_in_memory()")
    # An absolute path still names the same file when the process changes its directory.
    path = Path(url.database).absolute()
    # mode=rw: a mistyped path is an error, not a new and empty database.
    location = f"file:{quote(str(path))}?mode=rw"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(location, uri=True, timeout=BUSY_TIMEOUT_S, check_same_thread=False)

    engine = _open(url.set(database=str(path)), creator=connect)
    event.listen(engine, "connect", _prepare_connection)
    event.listen(engine, "begin", _begin)
    return engine


def _open(url: URL, **options: Any) -> Engine:
    try:
        return create_engine(url, hide_parameters=True, **options)
    except (ModuleNotFoundError, NoSuchModuleError):
        raise DatabaseUnavailable("the driver that DATABASE_URL asks for is missing; install custody-core[postgres]") from None


def _prepare_connection(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN_OPTION, "BEGIN IMMEDIATE"))
