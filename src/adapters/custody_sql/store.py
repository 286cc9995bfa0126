"""The store on SQL.

Rules of this file

1. A unit is one database transaction, committed on a clean exit and rolled back on any exception. A unit in which a statement
   failed is never committed, even when somebody caught the error.
2. A COMMIT without an answer is `OutcomeUnknown`, never a failure.
3. A joined store works inside its caller's transaction, by savepoints. It never commits and never rolls back what is not its own.
4. Connections do not survive a fork: two processes on one connection would mix their transactions.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import URL, Connection, Engine, RootTransaction
from sqlalchemy.engine.base import NestedTransaction
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from custody_core.errors import BrokenInvariant, Conflict, DatabaseUnavailable
from custody_sql import migrations, server
from custody_sql.engine import for_reading, for_writing, has_file, make_file, open_engine
from custody_sql.errors import translate, translate_commit
from custody_sql.session import Session
from custody_sql.units.books import BookRows
from custody_sql.units.chains import ChainRows
from custody_sql.units.deposits import DepositRows
from custody_sql.units.nonces import NonceRows
from custody_sql.units.outflows import OutflowRows
from custody_sql.units.records import RecordRows
from custody_sql.units.review import ReviewRows
from custody_sql.units.transactions import TransactionRows
from custody_sql.units.users import UserRows
from custody_sql.units.wallets import WalletRows


class SqlUnit(
    UserRows, WalletRows, TransactionRows, NonceRows, OutflowRows, DepositRows, ChainRows, BookRows, RecordRows, ReviewRows
):
    """One transaction on a database (`custody_core.ports.Unit`)."""

    def __init__(self, session: Session) -> None:
        self._session = session


class SqlStore:
    """A `custody_core.ports.Store` on a database that `upgrade` has prepared.

    Raises `DatabaseUnavailable` for a URL that cannot work, and later where the database cannot be used.
    """

    def __init__(self, url: str | URL) -> None:
        self.engine: Engine = open_engine(url)
        self._writing = for_writing(self.engine)
        self._reading = for_reading(self.engine)
        self._process_id = os.getpid()

    def exists(self) -> bool:
        """Whether the database has been prepared by any version. Makes nothing. Raises `DatabaseUnavailable`."""
        return has_file(self.engine) and migrations.check(self.engine).current is not None

    def schema(self) -> migrations.SchemaState:
        """Which revision the database has, and which this version expects. Makes nothing. Raises `DatabaseUnavailable`."""
        return migrations.check(self.engine) if has_file(self.engine) else migrations.SchemaState(None, migrations.EXPECTED)

    def upgrade(self) -> None:
        """Prepares the database, or brings it up to date; several processes may do so at once. Raises `DatabaseUnavailable`."""
        make_file(self.engine)
        migrations.upgrade(self.engine)

    def require_current(self) -> None:
        """Raises `DatabaseUnavailable` unless the database is prepared for exactly this version."""
        if not has_file(self.engine):
            raise DatabaseUnavailable("there is no database yet; run `custody init`, or check DATABASE_URL")
        state = migrations.check(self.engine)
        if state.current is None:
            raise DatabaseUnavailable("the database is empty; run `custody init`, or check DATABASE_URL")
        if state.current > state.expected:
            raise DatabaseUnavailable("the database was prepared by a newer version; update this one")
        if not state.is_current:
            raise DatabaseUnavailable("the database was prepared by an older version; run `custody db upgrade`")

    def require_upgradable(self) -> None:
        """Raises `DatabaseUnavailable` for a database of another program or of a newer version. Makes and changes nothing."""
        if has_file(self.engine):
            migrations.require_upgradable(self.engine)

    def require_safe(self) -> None:
        """Raises `DatabaseUnavailable`, naming the setting, where a server is set to lose what it has confirmed, or is too old."""
        server.require_safe(self.engine)

    @staticmethod
    def joined(connection: object) -> JoinedStore:
        """A store whose units are part of the caller's own transaction on `connection`, a `sqlalchemy.Connection`."""
        if not isinstance(connection, Connection):
            raise TypeError(f"joined takes a sqlalchemy.Connection, not {type(connection).__name__}")
        return JoinedStore(connection)

    @contextmanager
    def transaction(self) -> Iterator[SqlUnit]:
        """A unit that writes (`custody_core.ports.Store.transaction`)."""
        with self._begun(self._writing) as (connection, transaction):
            session = Session(connection, writable=True)
            with _undone_on_error(transaction):
                yield SqlUnit(session)
                _require_unrefused(session)
            _commit(transaction)

    @contextmanager
    def reading(self) -> Iterator[SqlUnit]:
        """A unit that only reads, all of it from one moment."""
        with self._begun(self._reading) as (connection, transaction):
            try:
                yield SqlUnit(Session(connection, writable=False))
            finally:
                _roll_back(transaction)

    def close(self) -> None:
        """Lets go of connections. After a fork the parent's are left alone."""
        self.engine.dispose(close=os.getpid() == self._process_id)

    @contextmanager
    def _begun(self, engine: Engine) -> Iterator[tuple[Connection, RootTransaction]]:
        if os.getpid() != self._process_id:
            raise BrokenInvariant("this store was opened before a fork; open one in each process")
        try:
            connection = engine.connect()
        except SQLAlchemyError as error:
            raise translate(error) from error
        with connection:
            try:
                transaction = connection.begin()
            except DBAPIError as error:
                raise translate(error) from error
            yield connection, transaction


class JoinedStore:
    """A `custody_core.ports.Store` inside a transaction of its caller, who commits it or rolls it back."""

    def __init__(self, connection: Connection) -> None:
        if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
            raise BrokenInvariant("a connection in autocommit mode has no transaction to take part in")
        self._connection = connection

    @contextmanager
    def transaction(self) -> Iterator[SqlUnit]:
        """A unit that writes, kept when the caller commits."""
        savepoint = self._savepoint()
        session = Session(self._connection, writable=True)
        with _undone_on_error(savepoint):
            yield SqlUnit(session)
            _require_unrefused(session)
        try:
            savepoint.commit()
        except DBAPIError as error:
            raise translate(error) from error

    @contextmanager
    def reading(self) -> Iterator[SqlUnit]:
        """A unit that only reads; of one moment as far as the caller's own transaction is."""
        savepoint = self._savepoint()
        try:
            yield SqlUnit(Session(self._connection, writable=False))
        finally:
            _roll_back(savepoint)

    def close(self) -> None:
        """The connection is the caller's."""

    def _savepoint(self) -> NestedTransaction:
        connection = self._connection
        try:
            if not connection.in_transaction():
                connection.begin()
            if connection.dialect.name == "sqlite" and not _is_begun(connection):
                # Python's sqlite3, left to itself, opens no transaction for a savepoint, and its release would then be a commit.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            return connection.begin_nested()
        except DBAPIError as error:
            raise translate(error) from error


def _is_begun(connection: Connection) -> bool:
    return bool(getattr(connection.connection.driver_connection, "in_transaction", True))


def _require_unrefused(session: Session) -> None:
    if session.refused:
        raise Conflict("a statement of this unit was refused, so none of it is kept")


@contextmanager
def _undone_on_error(transaction: RootTransaction | NestedTransaction) -> Iterator[None]:
    try:
        yield
    except BaseException:
        _roll_back(transaction)
        raise


def _commit(transaction: RootTransaction) -> None:
    try:
        transaction.commit()
    except DBAPIError as error:
        _roll_back(transaction)
        raise translate_commit(error) from error


def _roll_back(transaction: RootTransaction | NestedTransaction) -> None:
    """Rolls back. A connection that cannot say so any more takes its transaction with it."""
    with suppress(DBAPIError):
        transaction.rollback()
