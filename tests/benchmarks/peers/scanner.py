"""P2 and P3, ours: the real follower on real JSON-RPC, from an empty database to the head of a replayed chain."""

from __future__ import annotations

import gc
import random
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from custody_app.system import SystemClock, SystemEntropy
from custody_core import Custody, Limits, Wallet
from custody_core.domain.addresses import Address, parse_address
from custody_core.domain.chain import ChainState
from custody_core.domain.ids import IdPrefix, make_id
from custody_core.domain.tokens import Asset, Token, TokenState
from custody_core.domain.wallet import SealedKey
from custody_core.ports import EVERY_MOVEMENT, Found, Store, Unit
from custody_core.services.kit import Traces
from custody_memory.observer import RecordingObserver
from custody_memory.store import MemoryStore
from custody_rpc import RpcChain
from custody_sql.store import SqlStore
from tests.benchmarks.peers.memory import resident_mb
from tests.benchmarks.peers.serving import serve

CHAIN_ID = 1
PAGE = 10_000
FOREIGN = "nonce-foreign"
"""The trouble that there is with transactions from managed addresses that this service did not sign: they are planned."""
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Scanner:
    """The service, as far as it follows a chain."""

    def prepare(self, managed: Sequence[str], tokens: Sequence[str], deposits: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
        """Takes in what a scanner is told, and what it has to find."""
        self._managed = [parse_address(each) for each in managed]
        self._tokens = [parse_address(each) for each in tokens]
        self._deposits = deposits

    def scan(self, url: str, blocks: int, store: str) -> dict[str, float]:
        """Follows from block 0 to the head, which is at `blocks`. Fails unless exactly the true deposits were found."""
        with self._opened(url, store) as (custody, opened, observer):
            gc.collect()
            started = time.perf_counter(), time.process_time()
            custody.follow(CHAIN_ID)
            took_s, cpu_s = time.perf_counter() - started[0], time.process_time() - started[1]
            self._require_exact(opened, blocks)
            if unplanned := [each for each in observer.troubles if each[0] != FOREIGN]:
                raise AssertionError(f"troubles: {unplanned}")
        return {"wall_s": took_s, "cpu_s": cpu_s, "peak_mb": resident_mb("VmHWM")}

    def scan_in_a_crowd(self, url: str, blocks: int, crowd: int) -> dict[str, float]:
        """The same with `crowd` other addresses that are managed too, as far as the follower knows, and what they cost it."""
        chance = random.Random(8)
        with self._opened(url, "memory") as (custody, opened, _):
            known = custody._followers[CHAIN_ID]._managed
            gc.collect()
            before, started = resident_mb(), time.perf_counter()
            for _ in range(0, crowd, PAGE):
                known.add([(0, Address("0x" + chance.randbytes(20).hex())) for _ in range(PAGE)])
            load_s = time.perf_counter() - started
            gc.collect()
            held, cpu_s = resident_mb() - before, time.process_time()
            custody.follow(CHAIN_ID)
            cpu_s = time.process_time() - cpu_s
            self._require_exact(opened, blocks)
        peak = resident_mb("VmHWM") - before
        return {"held_mb": held, "peak_mb": peak, "load_s": load_s, "scan_ms": cpu_s / blocks * 1000}

    @contextmanager
    def _opened(self, url: str, kind: str) -> Iterator[tuple[Custody, Store, RecordingObserver]]:
        with tempfile.TemporaryDirectory() as folder:
            store, observer = _new_store(kind, Path(folder)), RecordingObserver()
            chain = RpcChain(CHAIN_ID, [url])
            custody = Custody(
                store=store,
                chains={CHAIN_ID: chain},
                keys=None,
                clock=SystemClock(),
                entropy=SystemEntropy(),
                observer=observer,
                limits=Limits(traces={CHAIN_ID: Traces.OFF}),
            )
            with custody:
                self._fill(custody, chain, store)
                yield custody, store, observer
            chain.close()

    def _fill(self, custody: Custody, chain: RpcChain, store: Store) -> None:
        owner_id = custody.wallets.owner_named("bench").id
        genesis = next(answer.value for answer in chain.headers([0]) if isinstance(answer, Found))
        with store.transaction() as unit:
            unit.add_chain(ChainState(CHAIN_ID, genesis.ref, genesis.ref, genesis.ref), genesis)
            self._add_wallets(unit, owner_id)
            for number, contract in enumerate(self._tokens):
                asset = Asset(CHAIN_ID, contract, f"token-{number}", 18)
                token_id = _id(IdPrefix.TOKEN, number)
                unit.add_token(Token(token_id, asset, f"T{number}", f"Token {number}", TokenState.LISTED, NOW))

    def _add_wallets(self, unit: Unit, owner_id: str) -> None:
        wallets = [
            Wallet(_id(IdPrefix.WALLET, number), address, number, NOW, NOW, owner_id=owner_id)
            for number, address in enumerate(self._managed, 1)
        ]
        unit.lock_pool()
        unit.add_wallets(wallets, [SealedKey(each.id, each.address, 1, b"opens with nothing") for each in wallets])

    def _require_exact(self, store: Store, blocks: int) -> None:
        wanted = sorted((each["transaction_hash"], each["asset"], each["to"], each["amount"]) for _, each in self._deposits)
        with store.reading() as unit:
            state = unit.chain(CHAIN_ID)
            found = unit.deposits(EVERY_MOVEMENT, limit=10 * len(wanted))
        if state is None or state.cursor.number != blocks:
            raise AssertionError(f"the scanner stopped at {state}")
        told = sorted((each.key.transaction_hash, each.key.asset.lower(), each.key.to.lower(), each.key.amount) for each in found)
        if told != wanted:
            raise AssertionError(f"{len(told)} deposits were found, not exactly the {len(wanted)} that there are")


def _new_store(kind: str, folder: Path) -> Store:
    if kind == "memory":
        return MemoryStore()
    store = SqlStore(f"sqlite:///{folder / 'custody.db'}")
    store.upgrade()
    return store


def _id(prefix: IdPrefix, number: int) -> str:
    return make_id(prefix, NOW, number.to_bytes(10, "big"))


if __name__ == "__main__":
    scanner = Scanner()
    serve({"prepare": scanner.prepare, "scan": scanner.scan, "scan_in_a_crowd": scanner.scan_in_a_crowd})
