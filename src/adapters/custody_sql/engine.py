"""Connections.

Rules of this file

1. Every BEGIN is ours, and says how the transaction is isolated: neither a driver's habits nor the defaults of a database or
   role decide that.
2. SQLite: WAL, `synchronous=FULL` (a commit survives a power cut), foreign keys on. Nothing is written into a file that is not
   known as ours, not even its journal mode. A writing transaction begins with BEGIN
   IMMEDIATE: it waits for its turn before it reads, so that what it read cannot change under it.
3. PostgreSQL: a writing transaction is READ COMMITTED and locks the rows that it decides on before it reads what depends on
   them; a reading one is REPEATABLE READ, READ ONLY. Waiting has an end, on the server and on the wire.
4. Nothing is kept in a server's session, which another client may get next (a pooler between us and the server): settings are
   those of one transaction, locks end with it, and no statement is prepared under a name.
5. An error says which setting to look at, and repeats nothing of the URL.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from custody_core.errors import DatabaseUnavailable

# What the driver and its pool have to say of a lost connection is said by our own errors; without this, Python would print it on
# stderr, where it may show SQL.
for _name in ("psycopg", "sqlalchemy"):
    logging.getLogger(_name).addHandler(logging.NullHandler())

BUSY_TIMEOUT_S = 20
"""How long a writer waits for its turn. Units are short; whoever waits longer is told `Conflict` and tries again."""

STATEMENT_TIMEOUT_S = 30
"""How long a single statement may take on PostgreSQL."""

IDLE_TIMEOUT_S = 60
"""How long a transaction may lie still on PostgreSQL before the server ends it, and with it the locks that it holds."""

RANDOM_PAGE_COST = 1.1
"""What PostgreSQL reckons with for a page that is read out of order. Its own 4 is that of a turning disk: by it a thousand rows of
some ten thousand are found by reading the table whole, at several times the price of asking its index."""

POOL_CONNECTIONS = 10
POOL_OVERFLOW = 10
"""A process keeps so many connections to PostgreSQL, and opens so many more while they are all in use."""

POOL_WAIT_S = 10

_BEGIN_OPTION = "custody_begin"
_DRIVER = "postgresql+psycopg"
_WAL = "PRAGMA journal_mode=WAL"
_IS_OURS = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ('alembic_version', 'idempotency_keys')"

_WIRE: dict[str, str | int] = {
    "client_encoding": "utf8",
    "fallback_application_name": "custody",  # a name in the URL comes first
    "connect_timeout": 10,
    # A server that is gone without a word is noticed within a minute.
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""libpq's own words. The query of the URL may add to them (`sslmode`, `sslrootcert`, …), and overrides them."""


def open_engine(url: str | URL) -> Engine:
    """The engine for a database URL. Connects to nothing yet. Raises `DatabaseUnavailable` for a URL that cannot work."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise DatabaseUnavailable("DATABASE_URL is not a database URL; an example is sqlite:///custody.db") from None
    match parsed.drivername:
        case "sqlite" | "sqlite+pysqlite":
            return _open_sqlite(parsed)
        case "postgresql" | "postgresql+psycopg":
            return _open_postgresql(parsed)
        case _:
            raise DatabaseUnavailable("DATABASE_URL names a database other than sqlite and postgresql+psycopg")


def for_writing(engine: Engine) -> Engine:
    """`engine`, for transactions that write."""
    return engine.execution_options(**{_BEGIN_OPTION: _begin_writing(engine)})


def for_reading(engine: Engine) -> Engine:
    """`engine`, for transactions that read one moment."""
    begin = "BEGIN" if is_sqlite(engine) else f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {_limits(STATEMENT_TIMEOUT_S)}"
    return engine.execution_options(**{_BEGIN_OPTION: begin})


def for_upgrading(engine: Engine) -> Engine:
    """`engine`, for migrations: rebuilding a large table takes as long as it takes."""
    return engine.execution_options(**{_BEGIN_OPTION: _begin_writing(engine, statement_timeout_s=0)})


def is_sqlite(engine: Engine) -> bool:
    """Whether the database is a file of ours."""
    return engine.dialect.name == "sqlite"


def has_file(engine: Engine) -> bool:
    """Whether there is something to connect to, as far as that can be told without connecting."""
    return not is_sqlite(engine) or Path(engine.url.database or "").exists()


def make_file(engine: Engine) -> None:
    """Makes an empty SQLite database, readable by its owner alone, where there is none. Raises `DatabaseUnavailable`."""
    if is_sqlite(engine):
        try:
            Path(engine.url.database or "").touch(mode=0o600)
        except OSError:
            raise DatabaseUnavailable(
                "the database file cannot be made; check DATABASE_URL, that its folder exists, and its permissions"
            ) from None


def make_durable(engine: Engine) -> None:
    """Gives a SQLite file that is ours, or about to be, its journal mode. Raises `sqlite3.Error`."""
    if not is_sqlite(engine):
        return
    deadline_s = time.monotonic() + BUSY_TIMEOUT_S
    connection = engine.raw_connection()
    try:
        while not _is_wal(connection.cursor(), deadline_s):
            time.sleep(0.02)
    finally:
        connection.close()


def _is_wal(cursor: DBAPICursor, deadline_s: float) -> bool:
    """Sets it; False where it is to be tried again: of two that set it at once, SQLite refuses one without a wait."""
    try:
        cursor.execute(_WAL)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline_s:
            raise
        return False
    return True


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


def _open_postgresql(url: URL) -> Engine:
    engine = _open(
        url.set(drivername=_DRIVER),
        # The driver begins nothing by itself, and prepares nothing.
        connect_args={"autocommit": True, "prepare_threshold": None, **_wire(url)},
        use_native_hstore=False,  # saves a question at each start
        pool_size=POOL_CONNECTIONS,
        max_overflow=POOL_OVERFLOW,
        pool_timeout=POOL_WAIT_S,
        pool_pre_ping=True,  # a server that was restarted meanwhile costs a new connection, not an error
    )
    event.listen(engine, "begin", _begin)
    return engine


def _wire(url: URL) -> dict[str, str | int]:
    return {name: value for name, value in _WIRE.items() if name not in url.query}


def _open(url: URL, **options: Any) -> Engine:
    try:
        return create_engine(url, hide_parameters=True, **options)
    except (ImportError, NoSuchModuleError):
        raise DatabaseUnavailable("the driver that DATABASE_URL asks for is missing; install custody-core[postgres]") from None


def _prepare_connection(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # Python's sqlite3 opens transactions by itself, and at the wrong moment
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    # WAL is written into the file, which may be somebody else's: `make_durable` sets it where the file is to become ours.
    if connection.execute(_IS_OURS).fetchone() == (2,):
        connection.execute(_WAL)


def _begin(connection: Connection) -> None:
    begin = connection.get_execution_options().get(_BEGIN_OPTION) or _begin_writing(connection.engine)
    connection.exec_driver_sql(begin)


def _begin_writing(engine: Engine, *, statement_timeout_s: int | None = None) -> str:
    if is_sqlite(engine):
        return "BEGIN IMMEDIATE"
    limits = _limits(STATEMENT_TIMEOUT_S if statement_timeout_s is None else statement_timeout_s)
    return f"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; {limits}"


def _limits(statement_timeout_s: int) -> str:
    """The settings of one transaction. They travel with its BEGIN, in one message."""
    return (
        f"SET LOCAL statement_timeout = '{statement_timeout_s}s'; SET LOCAL lock_timeout = '{BUSY_TIMEOUT_S}s'; "
        f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_TIMEOUT_S}s'; SET LOCAL random_page_cost = {RANDOM_PAGE_COST}"
    )
