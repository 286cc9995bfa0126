"""The store in memory.

Rules of this file

1. It keeps the port's promises as a database does: one writer at a time, nothing of a unit that failed, every unique key,
   every version, no negative balance of an owner, and readers that see one moment.
2. A committed table is never changed. A unit writes to its own copy, and a commit puts the copy in its place; so a reader
   needs no lock, and a rollback is forgetting.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from custody_core.errors import BrokenInvariant, Conflict
from custody_memory.books import BookRows
from custody_memory.chains import ChainRows
from custody_memory.deposits import DepositRows
from custody_memory.nonces import NonceRows
from custody_memory.outflows import OutflowRows
from custody_memory.records import RecordRows
from custody_memory.review import ReviewRows
from custody_memory.tables import Committed, Tables
from custody_memory.transactions import TransactionRows
from custody_memory.users import UserRows
from custody_memory.wallets import WalletRows


class MemoryUnit(
    UserRows, WalletRows, TransactionRows, NonceRows, OutflowRows, DepositRows, ChainRows, BookRows, RecordRows, ReviewRows
):
    """One transaction on tables in memory (`custody_core.ports.Unit`)."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables


class MemoryStore:
    """A `custody_core.ports.Store` for tests, trials and simulations: it forgets everything when the process ends."""

    def __init__(self) -> None:
        self._committed = Committed()
        self._writing = threading.Lock()
        self._writer: int | None = None
        self._moment = threading.Lock()

    @contextmanager
    def transaction(self) -> Iterator[MemoryUnit]:
        """A unit that writes, one at a time. A unit inside a unit of the same thread would wait for itself: `BrokenInvariant`."""
        if self._writer == threading.get_ident():
            raise BrokenInvariant("a unit that writes was opened inside another one")
        with self._writing:
            self._writer = threading.get_ident()
            try:
                tables = self._tables(writable=True)
                yield MemoryUnit(tables)
                if tables.mode.refused:
                    raise Conflict("a statement of this unit was refused, so none of it is kept")
                with self._moment:
                    tables.commit(self._committed)
            finally:
                self._writer = None

    @contextmanager
    def reading(self) -> Iterator[MemoryUnit]:
        """A unit that only reads, all of it from one moment."""
        yield MemoryUnit(self._tables(writable=False))

    def close(self) -> None:
        """Nothing to let go of."""

    def _tables(self, *, writable: bool) -> Tables:
        with self._moment:
            return Tables(self._committed, writable=writable)
