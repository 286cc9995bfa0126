"""The service on its real parts (a database, JSON-RPC, sealed keys), with a clock that a test can set forward."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs

from custody_core import Custody, Deposit, Limits, Transaction, Wallet
from custody_keys.key_file import load_key_file, make_key_file
from custody_keys.sealed import SealedKeys
from custody_memory.observer import RecordingObserver
from custody_rpc import RpcChain
from custody_sql.store import SqlStore
from tests.support.devnode import DevNode

CHAIN_ID = 31337


class OffsetClock:
    """The machine's clock, set forward by as much as a test likes."""

    def __init__(self) -> None:
        self._offset_s = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self._offset_s)

    def monotonic_s(self) -> float:
        return time.monotonic() + self._offset_s

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        self._offset_s += seconds


class Chance:
    """Random bytes from the operating system."""

    def random_bytes(self, count: int) -> bytes:
        return os.urandom(count)


@attrs.define
class Service:
    """A `Custody` with the parts that a test wants its hands on."""

    custody: Custody
    store: SqlStore
    node: DevNode
    clock: OffsetClock
    observer: RecordingObserver

    def wallet(self, owner: str = "alice", *, funded_wei: int = 0) -> Wallet:
        """A wallet of `owner`; with `funded_wei` that much was deposited and is final."""
        wallet = self.custody.wallets.create(owner=owner, idempotency_key=f"wallet-of-{owner}")
        if funded_wei:
            self.node.mined(self.node.send_from_dev_account(wallet.address, funded_wei))
            self.finalize()
        return wallet

    def finalize(self) -> None:
        """Everything that is in a block becomes final, and the service has seen it."""
        self.node.finalize()
        self.custody.tick()

    def available(self, wallet: Wallet) -> int:
        return self.custody.wallets.balances(wallet.id)[0].available

    def outgoing(self, transaction_id: str) -> Transaction:
        found = self.custody.transactions.get(transaction_id)
        assert isinstance(found, Transaction)
        return found

    def deposits(self) -> list[Deposit]:
        """Oldest first."""
        found = self.custody.transactions.list(direction="incoming", limit=200)
        return [each for each in reversed(found) if isinstance(each, Deposit)]

    def event_types(self, object_id: str) -> list[str]:
        """The types of all events about one object, in order."""
        self.custody.seal()
        events = self.custody.events.list(limit=10_000)
        return [event.type for event in events if event.object_id == object_id]

    def assert_reconciled(self, *, in_suspense_wei: int = 0) -> None:
        """All checks hold, and no more had to be put aside for that."""
        result = self.custody.reconcile()
        assert result.ok, [(check.id, check.violations) for check in result.checks if not check.ok]
        assert sum(line.amount for line in self.custody.suspense.list()) == in_suspense_wei


@contextmanager
def running_service(
    folder: Path, node: DevNode, *, rpc_url: str | None = None, database_url: str | None = None, limits: Limits | None = None
) -> Iterator[Service]:
    """A service in `folder`, on `node` or on what stands before it at `rpc_url`, as in the settings one or several with commas
    between them. Opening it again goes on with what is there.

    Without `database_url` its database is a file in `folder`. Several may run on one database.
    """
    key_file, observer, clock = folder / "custody.key", RecordingObserver(), OffsetClock()
    if not key_file.exists():
        make_key_file(key_file)
    master = load_key_file(key_file)
    chain = RpcChain(CHAIN_ID, (rpc_url or node.rpc_url).split(","), trouble=observer.trouble)
    store = SqlStore(database_url or f"sqlite:///{folder / 'custody.db'}")
    if not store.exists():
        store.upgrade()
    custody = Custody(
        store=store,
        chains={CHAIN_ID: chain},
        keys=SealedKeys(master, Chance()),
        clock=clock,
        entropy=Chance(),
        observer=observer,
        limits=limits or Limits(key_pool_size=3),
    )
    with custody:
        custody.policies.ensure_starter()
        custody.tick()
        yield Service(custody, store, node, clock, observer)
    chain.close()
    master.close()
