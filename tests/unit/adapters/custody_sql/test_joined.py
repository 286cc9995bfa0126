"""Taking part in a transaction of the caller's own, next to a table of the caller's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine, create_engine, text

from custody_core.errors import BrokenInvariant, Conflict
from custody_core.ports import Unit
from custody_sql import SqlStore
from custody_sql.engine import open_engine
from tests.support import factories as make


@pytest.fixture(params=["plain", "ours"])
def engine(request: pytest.FixtureRequest, database: str) -> Iterator[Engine]:
    """The caller's engine: made plainly, with all of sqlite3's habits, or like ours."""
    made = create_engine(database) if request.param == "plain" else open_engine(database)
    with made.begin() as connection:
        connection.execute(text("CREATE TABLE orders (id TEXT PRIMARY KEY)"))
    yield made
    made.dispose()


def _order(connection: Connection, name: str) -> None:
    connection.execute(text("INSERT INTO orders VALUES (:name)"), {"name": name})


def _orders(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return [row.id for row in connection.execute(text("SELECT id FROM orders ORDER BY id"))]


def _put(connection: Connection, name: str) -> None:
    with SqlStore.joined(connection).transaction() as unit:
        unit.put_setting(name, b"value")


def _kept(store: SqlStore, name: str) -> bool:
    with store.reading() as unit:
        return unit.setting(name) is not None


@pytest.mark.parametrize("order_first", [True, False])
def test_both_are_committed_by_the_caller(engine: Engine, store: SqlStore, *, order_first: bool) -> None:
    with engine.begin() as connection:
        if order_first:
            _order(connection, "a")
        _put(connection, "one")
        assert not _kept(store, "one")
        _put(connection, "two")
        if not order_first:
            _order(connection, "a")
        assert not _kept(store, "two")
    assert _orders(engine) == ["a"]
    assert _kept(store, "one")
    assert _kept(store, "two")


@pytest.mark.parametrize("order_first", [True, False])
def test_both_are_rolled_back_by_the_caller(engine: Engine, store: SqlStore, *, order_first: bool) -> None:
    with engine.connect() as connection:
        if order_first:
            _order(connection, "a")
        _put(connection, "one")
        if not order_first:
            _order(connection, "a")
        connection.rollback()
    assert _orders(engine) == []
    assert not _kept(store, "one")


def test_a_failed_unit_undoes_itself_alone(engine: Engine, store: SqlStore) -> None:
    user = make.user()

    def fail(unit: Unit) -> None:
        unit.put_setting("lost", b"value")
        unit.add_user(user)
        unit.add_user(user)

    with engine.begin() as connection:
        _order(connection, "a")
        _put(connection, "kept")
        with pytest.raises(Conflict), SqlStore.joined(connection).transaction() as unit:
            fail(unit)
        _order(connection, "b")
    assert _orders(engine) == ["a", "b"]
    assert _kept(store, "kept")
    assert not _kept(store, "lost")


def test_reading_sees_the_callers_transaction_and_writes_nothing(engine: Engine, store: SqlStore) -> None:
    with engine.begin() as connection:
        _put(connection, "one")
        joined = SqlStore.joined(connection)
        with joined.reading() as unit:
            assert unit.setting("one") == b"value"
        with pytest.raises(BrokenInvariant), joined.reading() as unit:
            unit.put_setting("two", b"value")
        joined.close()
        _order(connection, "a")
    assert _kept(store, "one")
    assert _orders(engine) == ["a"]


def test_what_cannot_be_joined_is_refused(engine: Engine) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection, pytest.raises(BrokenInvariant):
        SqlStore.joined(connection)
    with pytest.raises(TypeError, match="Connection"):
        SqlStore.joined(engine)
