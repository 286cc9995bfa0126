"""The store in memory keeps the contract of a database."""

from __future__ import annotations

import pytest

from custody_core.errors import BrokenInvariant
from custody_core.ports import Store
from custody_memory.store import MemoryStore
from tests.unit.contracts.store_contract import StoreContract


class TestMemoryStore(StoreContract):
    """The contract, in memory."""

    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()


def test_a_writing_unit_inside_another_is_told_instead_of_waiting_for_itself() -> None:
    store = MemoryStore()
    with store.transaction(), pytest.raises(BrokenInvariant), store.transaction():
        pass
    with store.transaction() as unit:
        unit.put_setting("name", b"value")
