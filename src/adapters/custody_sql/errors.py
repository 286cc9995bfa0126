"""What a database says, in the core's words.

Rules of this file

1. A collision with somebody else (a unique key, a serialisation failure, a busy database) is `Conflict`: run the unit again.
2. What the schema forbids outright (a rewritten ledger row, a row without its parent) is `BrokenInvariant`: a bug.
3. A COMMIT that failed is a no only where the database itself says why: else nobody knows whether it happened.
4. The rest is `DatabaseUnavailable`, and says whether to try again. Nothing of the database's own text is passed on: it may hold
   rows, paths or SQL.
"""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from custody_core.errors import BrokenInvariant, Conflict, DatabaseUnavailable, OutcomeUnknown

_SERIALISATION_STATES = frozenset({"40001", "40P01"})
"""SQLSTATE: serialization_failure, deadlock_detected."""

_LOCK_NOT_AVAILABLE = "55P03"

_UNIQUE_VIOLATION = "23505"
_INTEGRITY_CLASS = "23"
_UNDEFINED_STATES = frozenset({"42P01", "42703"})
"""SQLSTATE: undefined_table, undefined_column."""

_QUERY_CANCELED = "57014"
_IDLE_TOO_LONG = "25P03"
_READ_ONLY_STATES = frozenset({"25006", "0A000"})
"""SQLSTATE: read_only_sql_transaction; feature_not_supported, which a standby says to BEGIN READ WRITE."""

_REFUSED_COMMIT_CLASSES = frozenset({"23", "25", "40", "53", "55", "P0"})
"""SQLSTATE classes with which a server refuses a COMMIT: a deferred constraint, a wrong state, a failed serialisation, no
resources, a lock, an exception of a trigger. Whatever ends the connection (08, 57, …) is not among them."""

_COMPLETION_UNKNOWN = "40003"

_BUSY_CODES = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_UNIQUE_CODES = frozenset({sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID})


def translate(error: SQLAlchemyError) -> Exception:
    """What a failed statement, or a connection that could not be had, means to the core."""
    if isinstance(error, PoolTimeoutError):
        return DatabaseUnavailable("all of this process's connections to the database are in use; try again")
    if not isinstance(error, DBAPIError):
        return _gone()
    if isinstance(error.orig, sqlite3.Error):
        return _translate_sqlite(error.orig)
    state = _sqlstate(error)
    if state in _SERIALISATION_STATES or state == _UNIQUE_VIOLATION:
        return _collision()
    if state == _LOCK_NOT_AVAILABLE:  # the wait for it is over; going on at once would only begin another
        return DatabaseUnavailable("another piece of work holds what this needs; try again")
    if state in _UNDEFINED_STATES:
        return _unprepared()
    if state in _READ_ONLY_STATES:
        return DatabaseUnavailable("the database server takes no changes; DATABASE_URL has to lead to the primary")
    if state.startswith(_INTEGRITY_CLASS) or isinstance(error, IntegrityError):
        return _forbidden()
    if state == _QUERY_CANCELED:
        return DatabaseUnavailable("the database took too long, so nothing of this was kept; try again")
    if error.connection_invalidated or state == _IDLE_TOO_LONG:
        return DatabaseUnavailable("the connection to the database was lost, so nothing of this was kept; try again")
    return _gone()


def translate_commit(error: DBAPIError) -> Exception:
    """What a failed COMMIT means to the core."""
    if isinstance(error.orig, sqlite3.Error):
        is_refused = _primary_code(error.orig) != sqlite3.SQLITE_IOERR
    else:
        state = _sqlstate(error)
        is_refused = state == _QUERY_CANCELED or (state[:2] in _REFUSED_COMMIT_CLASSES and state != _COMPLETION_UNKNOWN)
    if is_refused:
        return translate(error)
    return OutcomeUnknown("the database did not answer the commit; read back whether it happened")


def _sqlstate(error: DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", None) or "")


def _translate_sqlite(error: sqlite3.Error) -> Exception:
    code = _primary_code(error)
    extended = getattr(error, "sqlite_errorcode", 0)
    if code in _BUSY_CODES or extended in _UNIQUE_CODES:
        return _collision()
    if code == sqlite3.SQLITE_CONSTRAINT:
        return _forbidden()
    if code == sqlite3.SQLITE_ERROR and str(error).startswith(("no such table", "no such column")):
        return _unprepared()
    return _gone()


def _primary_code(error: sqlite3.Error) -> int:
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def _collision() -> Conflict:
    return Conflict("somebody else changed this first, or the database is busy")


def _forbidden() -> BrokenInvariant:
    return BrokenInvariant("the database's own rules forbid this change")


def _unprepared() -> DatabaseUnavailable:
    return DatabaseUnavailable("the database is not prepared for this version; run `custody db upgrade`")


def _gone() -> DatabaseUnavailable:
    return DatabaseUnavailable(
        "the database cannot be used; check DATABASE_URL, that the server runs or the file's folder exists, and its permissions"
    )
