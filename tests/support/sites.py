"""A deployed service as its processes see it: one database, one key file, one node behind a proxy; made by copying a prepared one.

Preparing takes a second: wallets made, ether and tokens deposited, all of it final. A `Prepared` does so once, and each `site` is
a fresh copy: the node's snapshot is restored, the database copied.
"""

import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import attrs
import psycopg
from sqlalchemy import make_url

from custody_app.bootstrap import open_service
from custody_app.config import load_settings
from custody_app.observers import QuietObserver
from custody_core import Custody, Transaction, TransactionState, Wallet, ether
from custody_core.domain.audit import Event
from tests.support.contracts import deploy, transact
from tests.support.devnode import DEV_ACCOUNTS, DevNode
from tests.support.faultproxy import FaultProxy
from tests.support.postgres import Server
from tests.support.processes import Processes, Running
from tests.support.program import Program
from tests.support.waiting import until

OUTSIDER = DEV_ACCOUNTS[1].address
WALLETS = 6
DEPOSIT_WEI = ether("1")
TOKEN, TOKENS = "good", 1000
LEASE_S = 20
"""How long a killed process's leases and claims outlive it (`Limits.lease`)."""

PARKED_S = 10
"""How long a send that has to wait is left alone, such as one with too many before it."""

A_SENDS_EVENTS = ["created", "queued", "broadcasting", "confirming", "completed"]
"""What is told of a send when nothing but processes goes wrong, each once. Where time flies it may be `replaced` as well."""


class Database(Protocol):
    """Where a prepared database is kept, and how it is copied."""

    def prepare(self, folder: Path) -> str:
        """The URL of a new, empty database."""

    def copy(self, folder: Path) -> AbstractContextManager[str]:
        """The URL of a copy of the prepared one, for as long as this lasts. `folder` is the site's own."""


class SqliteDatabase:
    """A file."""

    def prepare(self, folder: Path) -> str:
        """The URL of a new, empty database."""
        self._file = folder / "custody.db"
        return f"sqlite:///{self._file}"

    @contextmanager
    def copy(self, folder: Path) -> Iterator[str]:
        """The URL of a copy of the prepared one."""
        shutil.copyfile(self._file, folder / "custody.db")
        yield f"sqlite:///{folder / 'custody.db'}"


class PostgresDatabase:
    """A database on a server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def prepare(self, folder: Path) -> str:  # noqa: ARG002 - it is not in the folder
        """The URL of a new database."""
        self._name = self._server.migrated_database()
        return self._server.database_url(self._name)

    @contextmanager
    def copy(self, folder: Path) -> Iterator[str]:  # noqa: ARG002 - it is not in the folder
        """The URL of a copy of the prepared one."""
        name = self._server.create_database(template=self._name)
        try:
            yield self._server.database_url(name)
        finally:
            self._server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


KILLED = -9
"""The exit code of a process that a test killed."""

WORKER_DIED = "was sent SIG"
"""In what a web process says of a worker that did not end by itself."""


@attrs.define
class Site:
    """One deployed service. `custody` looks at it, and accepts sends, without any key: as the web process does."""

    program: Program
    node: DevNode
    proxy: FaultProxy
    processes: Processes
    custody: Custody
    wallets: Sequence[Wallet]

    def send(self, wallet: Wallet, *, amount: int = 1000, asset: str = "eth", key: str = "payout") -> str:
        """Accepts a send to an outsider; its id."""
        return self.custody.transactions.send(wallet.id, to=OUTSIDER, amount=amount, asset=asset, idempotency_key=key).id

    def look(self, transaction_id: str) -> Transaction:
        found = self.custody.transactions.get(transaction_id)
        assert isinstance(found, Transaction)
        return found

    def carried(self, ids: Sequence[str], *, by: Sequence[Running] = (), timeout_s: float = 30.0) -> bool:
        """Makes what is mined final, until all of `ids` are completed and a block after that is followed, or one of the processes
        in `by` has ended: whether they are completed.
        """
        unfinished = list(ids)

        def are_completed() -> bool:
            sends = [self.look(each) for each in unfinished]
            if any(each.state is TransactionState.CONFIRMING for each in sends):
                self.node.finalize()
            elif any(each.parked_reason for each in sends):
                self.processes.set_forward(PARKED_S)
            unfinished[:] = [each.id for each in sends if each.state is not TransactionState.COMPLETED]
            return not unfinished

        def is_over(is_done: Callable[[], bool]) -> bool:
            return is_done() or any(not process.is_running for process in by)

        try:
            until(lambda: is_over(are_completed), what="the sends are completed", timeout_s=timeout_s)
        except TimeoutError as late:
            raise TimeoutError(f"{late}: {'; '.join(_how_far(self.look(each)) for each in unfinished)}") from None
        self.node.mine()
        until(lambda: is_over(self._is_followed), what="the chain is followed to its head", timeout_s=timeout_s)
        return are_completed()

    def _is_followed(self) -> bool:
        (state,) = self.custody.chains.states()
        return state.cursor.number == self.node.head()

    def stand_still(self, process: Running) -> None:
        """Pauses a process at a moment at which it holds no lock in the database, for which others would rightly wait."""

        def pause() -> bool:
            process.pause()
            if self._is_unlocked():
                return True
            process.resume()
            return False

        until(pause, what="it stands still between two transactions")

    def _is_unlocked(self) -> bool:
        url = make_url(self.program.settings["DATABASE_URL"])
        if url.drivername == "sqlite":
            with closing(sqlite3.connect(str(url.database), timeout=0, isolation_level=None)) as connection:
                try:
                    connection.execute("BEGIN IMMEDIATE")
                except sqlite3.OperationalError:
                    return False
                return True
        with psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False)) as session:
            query = (
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()"
            )
            return session.execute(query).fetchone() is None

    def leases_end(self) -> None:
        """Time passes for every forked process, until whatever a dead one held is free."""
        self.processes.set_forward(LEASE_S + 1)

    def mined_nonces(self, wallet: Wallet) -> list[int]:
        """The nonces of all that is mined from `wallet`, in the order of the chain."""
        return [int(str(each["nonce"]), 16) for each in self._mined() if each["from"] == wallet.address.lower()]

    def assert_paid_once(self, ids: Sequence[str]) -> None:
        """INV-7..11 for these sends, which are all that was ever sent: each is mined once, nonces are in unbroken order, and no
        hold is left.
        """
        mined = Counter(str(each["hash"]) for each in self._mined() if each["from"] in {w.address.lower() for w in self.wallets})
        sends = [self.look(each) for each in ids]
        assert mined == Counter(each.hash for each in sends)
        for wallet in self.wallets:
            own = [each for each in sends if each.wallet_id == wallet.id]
            assert self.mined_nonces(wallet) == list(range(len(own)))
            assert {each.nonce for each in own} == set(range(len(own)))
            balances = {each.asset.alias: each for each in self.custody.wallets.balances(wallet.id)}
            assert balances["eth"].available == self.node.balance(wallet.address)
            assert {each.reserved for each in balances.values()} == {0}
        self.assert_told_once(ids)

    def assert_told_once(self, ids: Sequence[str]) -> None:
        """Each step of each send is told by one event, in order, no step of a deposit is told twice, and the books are right."""
        events = list(self._events())
        assert len({event.id for event in events}) == len(events)
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        for each in ids:
            told = [event.type.removeprefix("transaction.") for event in events if event.object_id == each]
            assert [step for step in told if step != "replaced"] == A_SENDS_EVENTS
        steps = Counter((event.object_id, event.type) for event in events if event.type != "transaction.replaced")
        assert [step for step, count in steps.items() if count > 1] == []
        result = self.custody.reconcile()
        assert result.ok, [(check.id, check.violations) for check in result.checks if not check.ok]
        assert self.custody.suspense.list() == []

    def settle(self) -> None:
        """Ends every process; what is left to do, such as sealing, a last one does."""
        for process in self.processes.all:
            process.terminate()
        for process in self.processes.all:
            process.ended()
        self.leases_end()
        assert self.processes.fork("scanner", "--once").ended() == 0
        assert {process.code for process in self.processes.all} <= {0, KILLED}
        told = [event for process in self.processes.all for event in process.events()]
        assert [event for event in told if event["event"] == "internal" or WORKER_DIED in event.get("detail", "")] == []

    def _events(self) -> Iterator[Event]:
        after = 0
        while page := self.custody.events.list(after_sequence=after, limit=1000):
            yield from page
            after = page[-1].sequence or 0

    def _mined(self) -> Iterator[dict[str, Any]]:
        for number in range(self.node.head() + 1):
            yield from self.node.block(number, full=True)["transactions"]


class Prepared:
    """A service with funded wallets, to be copied. Its node is its own: one site at a time."""

    def __init__(self, folder: Path, node: DevNode, database: Database) -> None:
        self._folder, self._node, self._database = folder, node, database
        self._url = database.prepare(folder)
        with _opened(self._settings(folder, self._url, node.rpc_url), create=True) as custody:
            custody.make_ready()
            self._wallet_ids = self._fund(custody, deploy(node, "Good"))
            custody.tick()
        self._snapshot: str = node.raw("evm_snapshot")

    @contextmanager
    def site(self, folder: Path, *, via: Callable[[str], str] = lambda url: url) -> Iterator[Site]:
        """A fresh copy in `folder`. `via` gives the URL by which the processes reach the database."""
        assert self._node.raw("evm_revert", self._snapshot)
        self._snapshot = self._node.raw("evm_snapshot")
        shutil.copy(self._folder / "custody.key", folder)
        with self._database.copy(folder) as url, FaultProxy(self._node.rpc_url) as proxy:
            program = Program(folder, self._settings(folder, via(url), proxy.url))
            direct = self._settings(folder, url, self._node.rpc_url)
            with _opened(direct) as custody, Processes(program, logs=folder) as processes:
                wallets = [custody.wallets.get(each) for each in self._wallet_ids]
                yield Site(program, self._node, proxy, processes, custody, wallets)

    def _fund(self, custody: Custody, token: str) -> list[str]:
        """Wallets with ether, the first one with tokens too, all of it final; their ids."""
        node = self._node
        custody.tokens.add(chain_id=node.chain_id, address=token.lower(), alias=TOKEN, decimals=6)
        wallets = [custody.wallets.create(owner=f"owner-{number}", idempotency_key="first") for number in range(WALLETS)]
        for wallet in wallets:
            node.mined(node.send_from_dev_account(wallet.address, DEPOSIT_WEI))
        node.mined(transact(node, "Good", token, "mint", wallets[0].address, TOKENS))
        node.finalize()
        custody.tick()
        return [wallet.id for wallet in wallets]

    def _settings(self, folder: Path, database_url: str, rpc_url: str) -> dict[str, str]:
        return {
            "DATABASE_URL": database_url,
            "KEY_FILE": str(folder / "custody.key"),
            "RPC_URL": rpc_url,
            "CHAIN_ID": str(self._node.chain_id),
            "SCAN_INTERVAL_S": "0.1",
            "KEY_POOL_SIZE": str(WALLETS),
        }


@contextmanager
def _opened(settings: Mapping[str, str], *, create: bool = False) -> Iterator[Custody]:
    """The service in this process. It holds keys only while it is `create`d."""
    loaded = load_settings({f"CUSTODY_{name}": text for name, text in settings.items()})
    with open_service(loaded, observer=QuietObserver(), create=create, with_keys=create) as opened:
        yield opened.custody


def _how_far(send: Transaction) -> str:
    """What somebody wants to know of a send that does not come to its end."""
    attempts = ", ".join(f"{each.kind} {each.state}" for each in send.attempts)
    return f"nonce {send.nonce} is {send.state} ({attempts}), due at {send.due_at}, parked for {send.parked_reason}, {send.stuck}"
