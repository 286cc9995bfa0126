"""The port to the one place where state lives."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from custody_core.ports.units.books import BookUnit
from custody_core.ports.units.chains import ChainUnit
from custody_core.ports.units.deposits import DepositUnit
from custody_core.ports.units.nonces import NonceUnit
from custody_core.ports.units.outflows import OutflowUnit
from custody_core.ports.units.records import RecordUnit
from custody_core.ports.units.review import ReviewUnit
from custody_core.ports.units.transactions import TransactionUnit
from custody_core.ports.units.users import UserUnit
from custody_core.ports.units.wallets import WalletUnit


class Unit(
    UserUnit,
    WalletUnit,
    TransactionUnit,
    NonceUnit,
    OutflowUnit,
    DepositUnit,
    ChainUnit,
    BookUnit,
    RecordUnit,
    ReviewUnit,
    Protocol,
):
    """One database transaction: everything in it is committed together or not at all.

    `save_…` methods take the new value, whose `version` is one above the stored one, and raise `Conflict` when the stored one is
    another. `add_…` raise `Conflict` when a unique key is taken. Lists are ordered as each method says.
    """


class Store(Protocol):
    """The one place where state lives."""

    def transaction(self) -> AbstractContextManager[Unit]:
        """A unit that writes. Commits on clean exit, rolls back on an exception.

        It locks what it decides on before reading it, or saves a version, or a unique key refuses the second. Nothing else that it
        reads is held still.

        Raises `Conflict` when the database could not serialise it (run the whole unit again, with fresh reads) and `OutcomeUnknown`
        when the answer to COMMIT was lost (read back by key).
        """
        ...

    def reading(self) -> AbstractContextManager[Unit]:
        """A unit that only reads, all of it from one moment. Writing in it raises."""
        ...

    def close(self) -> None:
        """Lets go of connections."""
        ...
