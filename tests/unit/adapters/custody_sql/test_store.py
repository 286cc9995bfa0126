"""The store on SQLite."""

from __future__ import annotations

from tests.unit.contracts.store_contract import StoreContract


class TestSqliteStore(StoreContract):
    """The contract, on a file."""
