"""The store on PostgreSQL: the whole contract, and what only a server can do wrong."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from custody_sql import SqlStore
from tests.support.postgres import Server
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
