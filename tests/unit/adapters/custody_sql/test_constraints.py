"""What the database itself forbids, to those who come by SQL and to services that are wrong."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from custody_core.errors import BrokenInvariant
from custody_sql import SqlStore
from tests.support import factories as make
from tests.unit.contracts.store import given
from tests.unit.contracts.store.guards import ALLOWED, FORBIDDEN, fill


@pytest.fixture
def full(store: SqlStore) -> SqlStore:
    """A store with a row or two in every table that is guarded."""
    fill(store)
    return store


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_database_refuses(full: SqlStore, statement: str) -> None:
    with pytest.raises(IntegrityError), full.engine.begin() as connection:
        assert connection.execute(text(statement)).rowcount > 0, "the statement met no row, so it proved nothing"


@pytest.mark.parametrize("statement", ALLOWED)
def test_the_database_allows(full: SqlStore, statement: str) -> None:
    with full.engine.begin() as connection:
        assert connection.execute(text(statement)).rowcount > 0


def test_a_row_without_its_parent_is_named_a_bug_and_leaves_nothing(store: SqlStore) -> None:
    stray = make.transaction()
    with pytest.raises(BrokenInvariant), store.transaction() as unit:
        unit.add_transactions([stray])
    assert given.read(store, lambda unit: unit.transaction(stray.id)) is None


def test_parents_may_be_added_after_their_children(store: SqlStore) -> None:
    user = make.user()
    wallet = make.wallet(user.id)
    transaction = make.transaction(wallet)
    with store.transaction() as unit:
        unit.add_decisions([make.decision(transaction)])
        unit.add_transactions([transaction])
        unit.add_wallets([wallet], [])
        unit.add_user(user)
    assert given.read(store, lambda unit: unit.transaction(transaction.id)) == transaction


def test_a_reverted_header_stays_marked(store: SqlStore) -> None:
    with store.transaction() as unit:
        unit.add_chain(make.chain_state(), make.header(0))
        unit.add_headers(make.CHAIN_ID, make.header_chain(1, 2))
    given.write(store, lambda unit: unit.remove_headers(make.CHAIN_ID, above=1))
    with store.engine.connect() as connection:
        rows = connection.execute(text("SELECT hash, reverted FROM headers ORDER BY number")).all()
    assert [(row.hash, row.reverted) for row in rows] == [(make.header(height).hash, int(height == 2)) for height in range(3)]


def test_sealed_keys_stand_in_their_own_table_alone(full: SqlStore) -> None:
    with full.engine.connect() as connection:
        tables = connection.execute(text("SELECT name FROM sqlite_master WHERE sql LIKE '%sealed%key%' AND type = 'table'")).all()
        columns = connection.execute(text("SELECT name FROM pragma_table_info('sealed_keys')")).all()
    assert [row.name for row in tables] == ["sealed_keys"]
    assert [row.name for row in columns] == ["wallet_id", "address", "key_version", "sealed"]
