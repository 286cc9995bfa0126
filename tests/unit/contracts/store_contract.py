"""What every adapter of the `Store` port promises.

A test class inherits `StoreContract` and has a fixture `store`: a new, empty store for each test, usable by several threads.
"""

from __future__ import annotations

from tests.unit.contracts.store.books import BookContract
from tests.unit.contracts.store.chains import ChainContract
from tests.unit.contracts.store.deposits import DepositContract
from tests.unit.contracts.store.records import RecordContract
from tests.unit.contracts.store.review import ReviewContract
from tests.unit.contracts.store.transactions import TransactionContract
from tests.unit.contracts.store.units import UnitContract
from tests.unit.contracts.store.users import UserContract
from tests.unit.contracts.store.wallets import WalletContract


class StoreContract(
    UnitContract,
    UserContract,
    WalletContract,
    TransactionContract,
    DepositContract,
    ChainContract,
    BookContract,
    RecordContract,
    ReviewContract,
):
    """All of it."""
