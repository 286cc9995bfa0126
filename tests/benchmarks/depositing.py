"""P8: write found deposits to PostgreSQL, idempotently, with their ids told. Rows a second, in commits of 1,000.

Ours looks up which of a commit's deposits are known and adds the others, as the follower does; before the rounds it writes one set
twice and fails unless every row is there once and the same ids come back. The peer is SQLAlchemy's ORM, `add_all` of new objects,
into a table of the same columns, types and indexes, without a look at what is there. The limit is psycopg's `COPY … FROM STDIN` of
ready rows into that table, which could not be done twice. What is written is made before the clock starts, and the table has been
analysed once, as PostgreSQL does by itself within its first minute: before that a search for many keys reads a small table whole.
fsync is on; the data lies in memory where there is room for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import count

import attrs
from sqlalchemy import text

from custody_core.domain.addresses import address_from_bytes
from custody_core.domain.chain import BlockRef, Hash
from custody_core.domain.deposit import Deposit, DepositKey, DepositKind, DepositState
from custody_core.domain.ids import IdPrefix, make_id
from custody_core.domain.tokens import NATIVE_ALIAS, native_asset
from custody_core.domain.wallet import SealedKey, Wallet
from custody_sql.store import SqlStore
from tests.benchmarks.environments import python_of
from tests.benchmarks.harness import Result, interleaved, median, ratio, spread
from tests.benchmarks.worker import Worker
from tests.support.postgres import PostgresServer

ROUNDS = 5
BATCH, BATCHES = 1000, 10
WALLETS = 100
CHAIN_ID = 1
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SENDER = address_from_bytes(b"\x55" * 20)


class Deposits:
    """Ours, on a database with wallets."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self._numbers = count(1)
        self._wallets = [_wallet(number) for number in range(1, WALLETS + 1)]
        with store.transaction() as unit:
            unit.lock_pool()
            unit.add_wallets(self._wallets, [SealedKey(each.id, each.address, 1, b"opens with nothing") for each in self._wallets])

    def require_idempotent(self) -> None:
        """The same deposits again change nothing, and have the ids that they had."""
        first = self._some()
        ids = self._write(first)
        again = self._write([_renamed(each, next(self._numbers)) for each in first])
        with self._store.reading() as unit:
            kept = unit.deposits_by_key([each.key for each in first])
        if not ids == again == [kept[each.key].id for each in first]:
            raise AssertionError("a deposit was written twice, or lost its id")

    def analyse(self) -> None:
        """Lets the database learn what its table of deposits is like."""
        with self._store.engine.begin() as connection:
            connection.execute(text("ANALYZE deposits"))

    def rate(self) -> float:
        """Rows a second."""
        batches = [self._some() for _ in range(BATCHES)]
        start = time.perf_counter()
        for batch in batches:
            self._write(batch)
        return BATCH * BATCHES / (time.perf_counter() - start)

    def _write(self, found: Sequence[Deposit]) -> list[str]:
        with self._store.transaction() as unit:
            known = unit.deposits_by_key([each.key for each in found])
            unit.add_deposits([each for each in found if each.key not in known])
        return [known[each.key].id if each.key in known else each.id for each in found]

    def _some(self) -> list[Deposit]:
        return [self._deposit(number) for number, _ in zip(self._numbers, range(BATCH), strict=False)]

    def _deposit(self, number: int) -> Deposit:
        wallet = self._wallets[number % WALLETS]
        hash_ = Hash(f"0x{number:064x}")
        return Deposit(
            id=make_id(IdPrefix.TRANSACTION, NOW, number.to_bytes(10, "big")),
            key=DepositKey(CHAIN_ID, hash_, DepositKind.NATIVE, NATIVE_ALIAS, SENDER, wallet.address, 10**18 + number, 0),
            asset=native_asset(CHAIN_ID),
            wallet_id=wallet.id,
            state=DepositState.CONFIRMING,
            block=BlockRef(number // 100, Hash(f"0x{number // 100:064x}"), NOW),
            created_at=NOW,
            updated_at=NOW,
        )


def run() -> Result:
    with ExitStack() as stack:
        server = stack.enter_context(PostgresServer())
        url = server.database_url(server.create_database())
        store = SqlStore(url)
        store.upgrade()
        stack.callback(store.close)
        ours = Deposits(store)
        ours.require_idempotent()
        ours.analyse()
        peers = stack.enter_context(Worker(python_of("bench"), "depositing"))
        peers.ask("prepare", url=url, wallets=[each.id for each in ours._wallets])
        variants: dict[str, Callable[[], float]] = {
            "ours": ours.rate,
            "peer": lambda: float(peers.ask("add_all", batch=BATCH, batches=BATCHES)),
            "limit": lambda: float(peers.ask("copy", batch=BATCH, batches=BATCHES)),
        }
        rounds = interleaved("P8", variants, rounds=ROUNDS)
    return Result(
        id="P8",
        name="write found deposits, PostgreSQL",
        ours=median(rounds, "ours"),
        peer=median(rounds, "peer"),
        limit=median(rounds, "limit"),
        ratio_to_peer=ratio(rounds, "ours", "peer"),
        ratio_to_limit=ratio(rounds, "ours", "limit"),
        unit="rows/s",
        runs=ROUNDS,
        more={"rounds_to_peer": spread(rounds, "ours", "peer"), "rounds_to_limit": spread(rounds, "ours", "limit")},
    )


def _wallet(number: int) -> Wallet:
    address = address_from_bytes(b"\x77" * 12 + number.to_bytes(8, "big"))
    return Wallet(make_id(IdPrefix.WALLET, NOW, number.to_bytes(10, "big")), address, number, NOW, NOW)


def _renamed(deposit: Deposit, number: int) -> Deposit:
    """The same deposit as somebody finds it who does not know the first."""
    return attrs.evolve(deposit, id=make_id(IdPrefix.TRANSACTION, NOW, number.to_bytes(10, "big")))
