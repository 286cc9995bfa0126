"""What a database says, in the core's words.

Rules of this file

1. A collision with somebody else (a unique key, a serialisation failure, a busy database) is `Conflict`: run the unit again.
2. What the schema forbids outright (a rewritten ledger row, a row without its parent) is `BrokenInvariant`: a bug.
3. The rest is `DatabaseUnavailable`. Nothing of the database's own text is passed on: it may hold rows, paths or SQL.
"""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, IntegrityError

from custody_core.errors import BrokenInvariant, Conflict, DatabaseUnavailable, OutcomeUnknown

_SERIALISATION_STATES = frozenset({"40001", "40P01", "55P03"})
"""SQLSTATE: serialization_failure, deadlock_detected, lock_not_available."""

_UNIQUE_VIOLATION = "23505"
_INTEGRITY_CLASS = "23"
_UNDEFINED_STATES = frozenset({"42P01", "42703"})
"""SQLSTATE: undefined_table, undefined_column."""

_BUSY_CODES = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_UNIQUE_CODES = frozenset({sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID})


def translate(error: DBAPIError) -> Exception:
    """What a failed statement means to the core."""
    if isinstance(error.orig, sqlite3.Error):
        return _translate_sqlite(error.orig)
    state = str(getattr(error.orig, "sqlstate", None) or "")
    if state in _SERIALISATION_STATES or state == _UNIQUE_VIOLATION:
        return _collision()
    if state in _UNDEFINED_STATES:
        return _unprepared()
    if state.startswith(_INTEGRITY_CLASS) or isinstance(error, IntegrityError):
        return _forbidden()
    return _gone()


def translate_commit(error: DBAPIError) -> Exception:
    """What a failed COMMIT means to the core: unless the database itself says no, nobody knows whether it happened."""
    code = _primary_code(error.orig) if isinstance(error.orig, sqlite3.Error) else None
    if code == sqlite3.SQLITE_IOERR or (code is None and not getattr(error.orig, "sqlstate", None)):
        return OutcomeUnknown("the database did not answer the commit; read back whether it happened")
    return translate(error)


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
