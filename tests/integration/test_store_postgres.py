"""The store on PostgreSQL: the whole contract, and what only a server can do wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from custody_core.domain.money import UINT256_MAX
from custody_core.errors import BrokenInvariant
from custody_sql import SqlStore, session
from custody_sql.tables import metadata
from tests.support import factories as make
from tests.support.postgres import Server
from tests.unit.contracts.store import given
from tests.unit.contracts.store.guards import ALLOWED, FORBIDDEN, fill
from tests.unit.contracts.store_contract import StoreContract


@pytest.fixture(scope="module")
def reused(postgres: Server) -> str:
    """The name of one migrated database for all of the contract; emptied before each test."""
    return postgres.migrated_database()


class TestPostgresStore(StoreContract):
    """The contract, on a server."""

    @pytest.fixture
    def store(self, postgres: Server, reused: str) -> Iterator[SqlStore]:
        """Without rows, and usable by several threads."""
        postgres.empty_database(reused)
        opened = SqlStore(postgres.database_url(reused))
        yield opened
        opened.close()


class TestPostgresStoreThatCopies(TestPostgresStore):
    """The contract once more, with the way of many rows taken for every row."""

    @pytest.fixture(autouse=True)
    def _copies_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(session, "ROWS_MIN", 1)


@pytest.fixture(scope="module")
def full(postgres: Server) -> Iterator[SqlStore]:
    """A store with a row or two in every table that is guarded. No test of these leaves a trace in it."""
    opened = SqlStore(postgres.database_url(postgres.migrated_database()))
    fill(opened)
    yield opened
    opened.close()


def _in_our_words(statement: str) -> str:
    """SQLite's literals for bytes, and its row numbers, as PostgreSQL writes them."""
    without_row_numbers = statement.replace("WHERE rowid = 1", "WHERE key_version = 1")
    return re.sub(r"x'([0-9a-f]*)'", r"decode('\1', 'hex')", without_row_numbers)


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_database_refuses(full: SqlStore, statement: str) -> None:
    with pytest.raises(IntegrityError), full.engine.begin() as connection:
        assert connection.execute(text(_in_our_words(statement))).rowcount > 0, "the statement met no row, so it proved nothing"


@pytest.mark.parametrize("statement", ALLOWED)
def test_the_database_allows(full: SqlStore, statement: str) -> None:
    with full.engine.connect() as connection:
        assert connection.execute(text(_in_our_words(statement))).rowcount > 0
        connection.rollback()


KEPT = [
    "audit",
    "events",
    "headers",
    "posting_groups",
    "postings",
    "decisions",
    "transactions",
    "attempts",
    "deposits",
    "foreign_uses",
]


@pytest.mark.parametrize("table", KEPT)
def test_what_is_never_taken_away_is_not_emptied_either(full: SqlStore, table: str) -> None:
    with pytest.raises(IntegrityError), full.engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {table} CASCADE"))


def test_migrations_make_what_the_tables_say(full: SqlStore) -> None:
    with full.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": False})
        assert compare_metadata(context, metadata) == []


def test_every_text_is_compared_byte_by_byte(full: SqlStore) -> None:
    """An index over text that follows the system's collation breaks when an update of the system changes its mind."""
    with full.engine.connect() as connection:
        others = connection.execute(
            text(
                "SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = 'public'"
                " AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'"
            )
        )
        assert others.scalars().all() == []


def test_a_row_without_its_parent_is_named_a_bug_and_leaves_nothing(full: SqlStore) -> None:
    stray = make.transaction()
    with pytest.raises(BrokenInvariant), full.transaction() as unit:
        unit.add_transactions([stray])
    assert given.read(full, lambda unit: unit.transaction(stray.id)) is None


def test_amounts_are_exact_in_the_database_itself(full: SqlStore) -> None:
    transaction = make.transaction(given.wallet(full), amount=UINT256_MAX)
    given.transactions(full, transaction)
    with full.engine.connect() as connection:
        found = connection.execute(text("SELECT amount::text FROM transactions WHERE id = :id"), {"id": transaction.id}).scalar()
    assert found == str(UINT256_MAX)
