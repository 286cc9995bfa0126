"""P5: durable sends a second: queued → nonce → open → sign → store → broadcast, every step committed, from 100 wallets.

All send to one anvil with a block a second, in bursts that take turns; a burst begins right after a block. Timed is the way from
queued to broadcast; that everything was mined is then counted by nonces, untimed. Ours is `Custody.advance` on `SqlStore`, JSON-
RPC and sealed keys, on PostgreSQL with fsync on (its data lies in memory where there is room for it); `ours_sqlite` is the same on
a SQLite file. A wallet may have 8 unfinished sends, so a burst of ours is at most 800; they are final before the next burst
begins. The peers keep nothing and have open keys: web3.py as documented (nonce, chain id, gas and fees from the node for every
transaction), and `peer_own_nonces`, web3.py with nonces of its own and everything else known. The limit is raw bytes signed
before, in ready-made batches of 100. `…_cpu_ms` is processor time per send, which a busy machine changes less than the rate.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import requests

from custody_app.system import SystemClock, SystemEntropy
from custody_core import Custody, CustodyError, Limits, Wallet, ether
from custody_core.domain.addresses import address_from_bytes
from custody_core.domain.encoding import FeeMarketTransaction, serialize_signed, signing_hash
from custody_core.domain.nonce import IN_FLIGHT_MAX
from custody_core.services.batching import Batch, Payout
from custody_keys.key_file import load_key_file, make_key_file
from custody_keys.sealed import SealedKeys
from custody_keys.secp256k1 import address_of, sign_digest
from custody_memory.observer import RecordingObserver
from custody_rpc import RpcChain
from custody_sql.store import SqlStore
from tests.benchmarks.environments import python_of
from tests.benchmarks.harness import Result, interleaved, median, ratio, rounded, spread
from tests.benchmarks.worker import Worker
from tests.support.devnode import DevNode
from tests.support.postgres import PostgresServer
from tests.support.waiting import until

CHAIN_ID = 31337
RECIPIENT = "0x0000000000000000000000000000000000001559"
WALLETS = 100
ROUNDS = 5
OURS = IN_FLIGHT_MAX * WALLETS
LIMIT, OWN_NONCES, DOCUMENTED = 800, 400, 200
BATCH = 100
ANVIL = ("--gas-limit", "300000000")
MINED_TIMEOUT_S = 60.0


class Counted:
    """Wallets on the node and how many of their transactions must be mined by now."""

    def __init__(self, node: DevNode, addresses: Sequence[str]) -> None:
        self._node, self._addresses = node, addresses
        self.expected = 0

    def require_mined(self, more: int) -> None:
        """Waits until `more` further transactions are mined, by the wallets' nonces."""
        self.expected += more
        until(
            lambda: sum(self._node.nonce(address) for address in self._addresses) == self.expected,
            what=f"{self.expected} transactions mined",
            timeout_s=MINED_TIMEOUT_S,
        )


class Ours:
    """The service on its real parts, with funded wallets."""

    def __init__(self, custody: Custody, node: DevNode) -> None:
        self._custody, self._node = custody, node
        self._batches = count()
        self.cpu_ms: list[float] = []
        self.wallets = self._funded_wallets()
        self._counted = Counted(node, [wallet.address for wallet in self.wallets])

    def burst(self) -> float:
        """Sends a second, from queued to broadcast."""
        self.queue(OURS)
        begin_with_a_block(self._node)
        started = time.perf_counter(), time.process_time()
        self.send(OURS)
        took_s, cpu_s = time.perf_counter() - started[0], time.process_time() - started[1]
        self.cpu_ms.append(cpu_s / OURS * 1000)
        self._counted.require_mined(OURS)
        self.finalize()
        return OURS / took_s

    def queue(self, sends: int) -> None:
        """As many from each wallet."""
        for wallet in self.wallets:
            number = next(self._batches)
            payouts = [Payout(to=RECIPIENT, amount=1, external_id=f"{number}-{index}") for index in range(sends // WALLETS)]
            batch = Batch(wallet_id=wallet.id, payouts=payouts)
            for outcome in self._custody.transactions.accept_batch(batch, idempotency_key=f"batch-{number}"):
                if isinstance(outcome, CustodyError):
                    raise outcome

    def send(self, sends: int) -> None:
        """Rounds of the worker until all that is queued was broadcast."""
        taken_up = 0
        while taken_up < sends:
            advanced = self._custody.advance(CHAIN_ID)
            if not advanced:
                raise AssertionError(f"only {taken_up} of {sends} sends were due")
            taken_up += advanced

    def finalize(self) -> None:
        """Everything mined becomes final, in the books too."""
        self._node.finalize()
        self._custody.follow(CHAIN_ID)

    def _funded_wallets(self) -> list[Wallet]:
        self._custody.policies.ensure_starter()
        self._custody.make_ready()
        create = self._custody.wallets.create
        wallets = [create(owner="bench", idempotency_key=f"wallet-{number}") for number in range(WALLETS)]
        deposits = [self._node.send_from_dev_account(wallet.address, ether("1")) for wallet in wallets]
        self._node.mined(deposits[-1])
        self.finalize()
        return wallets


class Presigned:
    """The limit: what is left when the bytes are there already."""

    def __init__(self, node: DevNode, keys: Sequence[bytes]) -> None:
        self._node, self._keys = node, keys
        self._session = requests.Session()
        self._session.trust_env = False
        self._counted = Counted(node, fund(node, keys))
        self._sent = 0

    def burst(self) -> float:
        bodies = self._bodies()
        begin_with_a_block(self._node)
        start = time.perf_counter()
        answers = [self._post(body) for body in bodies]
        took_s = time.perf_counter() - start
        if any(b'"error"' in answer for answer in answers):
            raise AssertionError("the node refused presigned bytes")
        self._counted.require_mined(LIMIT)
        return LIMIT / took_s

    def _post(self, body: str) -> bytes:
        return self._session.post(self._node.rpc_url, data=body, headers={"Content-Type": "application/json"}).content

    def _bodies(self) -> list[str]:
        fee = 2 * int(self._node.block()["baseFeePerGas"], 16) + 10**9
        raws = []
        for _ in range(LIMIT):
            index, nonce = self._sent % len(self._keys), self._sent // len(self._keys)
            raws.append(_signed_transfer(self._keys[index], nonce, fee))
            self._sent += 1
        parts = [raws[first : first + BATCH] for first in range(0, len(raws), BATCH)]
        return ["[" + ",".join(_send_raw(number, raw) for number, raw in enumerate(part)) + "]" for part in parts]


class Web3Peer:
    """web3.py in its own process and environment."""

    def __init__(self, node: DevNode, worker: Worker, keys: Sequence[bytes]) -> None:
        self._node, self._worker = node, worker
        self._counted = Counted(node, fund(node, keys))
        self.cpu_ms: dict[str, list[float]] = {"documented": [], "own_nonces": []}
        worker.ask("prepare", url=node.rpc_url, keys=[key.hex() for key in keys], recipient=RECIPIENT)

    def burst(self, how: str, sends: int) -> float:
        begin_with_a_block(self._node)
        took_s, cpu_s = self._worker.ask(how, count=sends, value=1)
        self.cpu_ms[how].append(cpu_s / sends * 1000)
        self._counted.require_mined(sends)
        return sends / float(took_s)


def run(database_url: str | None) -> Result:
    with ExitStack() as stack:
        node = stack.enter_context(DevNode(block_time_s=1, arguments=ANVIL))
        url = database_url or _new_postgres(stack)
        services = [stack.enter_context(running_custody(node.rpc_url, each)) for each in (url, None)]
        ours, on_sqlite = (Ours(custody, node) for custody, _ in services)
        presigned = Presigned(node, [os.urandom(32) for _ in range(WALLETS)])
        worker = stack.enter_context(Worker(python_of("bench"), "sends"))
        web3 = Web3Peer(node, worker, [os.urandom(32) for _ in range(WALLETS)])
        variants: dict[str, Callable[[], float]] = {
            "ours": ours.burst,
            "ours_sqlite": on_sqlite.burst,
            "limit": presigned.burst,
            "peer_own_nonces": lambda: web3.burst("own_nonces", OWN_NONCES),
            "peer": lambda: web3.burst("documented", DOCUMENTED),
        }
        rounds = interleaved("P5", variants, rounds=ROUNDS)
        for custody, observer in services:
            require_sound(custody, observer)
    more: dict[str, float | str] = {
        "peer_own_nonces": median(rounds, "peer_own_nonces"),
        "ratio_to_peer_own_nonces": ratio(rounds, "ours", "peer_own_nonces"),
        "ours_sqlite": median(rounds, "ours_sqlite"),
        "ratio_to_peer_sqlite": ratio(rounds, "ours_sqlite", "peer"),
        "ratio_to_limit_sqlite": ratio(rounds, "ours_sqlite", "limit"),
        "rounds_to_peer": spread(rounds, "ours", "peer"),
        "rounds_to_limit": spread(rounds, "ours", "limit"),
        "ours_cpu_ms": rounded(statistics.median(ours.cpu_ms[1:])),
        "ours_sqlite_cpu_ms": rounded(statistics.median(on_sqlite.cpu_ms[1:])),
        "peer_cpu_ms": rounded(statistics.median(web3.cpu_ms["documented"][1:])),
        "peer_own_nonces_cpu_ms": rounded(statistics.median(web3.cpu_ms["own_nonces"][1:])),
        "database": url.partition(":")[0],
        "bursts": f"ours and limit {OURS}, own nonces {OWN_NONCES}, documented {DOCUMENTED}",
    }
    return Result(
        id="P5",
        name="durable sends, queued to broadcast",
        ours=median(rounds, "ours"),
        peer=median(rounds, "peer"),
        limit=median(rounds, "limit"),
        ratio_to_peer=ratio(rounds, "ours", "peer"),
        ratio_to_limit=ratio(rounds, "ours", "limit"),
        unit="tx/s",
        runs=ROUNDS,
        more=more,
    )


def _new_postgres(stack: ExitStack) -> str:
    server = stack.enter_context(PostgresServer())
    return server.database_url(server.create_database())


@contextmanager
def running_custody(node_url: str, database_url: str | None) -> Iterator[tuple[Custody, RecordingObserver]]:
    """The service on a database of its own: a new SQLite file, or the empty one at `database_url`."""
    with tempfile.TemporaryDirectory() as name:
        folder, observer, entropy = Path(name), RecordingObserver(), SystemEntropy()
        store = SqlStore(database_url or f"sqlite:///{folder / 'custody.db'}")
        if store.exists():
            raise SystemExit("the database for P5 is not empty; give it one of its own")
        store.upgrade()
        make_key_file(folder / "custody.key")
        master = load_key_file(folder / "custody.key")
        chain = RpcChain(CHAIN_ID, [node_url])
        custody = Custody(
            store=store,
            chains={CHAIN_ID: chain},
            keys=SealedKeys(master, entropy),
            clock=SystemClock(),
            entropy=entropy,
            observer=observer,
            limits=Limits(key_pool_size=WALLETS),
        )
        with custody:
            yield custody, observer
        chain.close()
        master.close()


def fund(node: DevNode, keys: Sequence[bytes]) -> list[str]:
    """Gives each key's account ether from nowhere; their addresses."""
    addresses = [str(address_from_bytes(address_of(key))) for key in keys]
    for address in addresses:
        node.set_balance(address, ether("10"))
    return addresses


def begin_with_a_block(node: DevNode) -> None:
    """Waits for the next block, so that mining falls into every burst at the same place."""
    before = node.head()
    until(lambda: node.head() > before, what="the next block")


def require_sound(custody: Custody, observer: RecordingObserver) -> None:
    checks = custody.reconcile().checks
    if broken := [check.id for check in checks if not check.ok]:
        raise AssertionError(f"the books do not agree: {broken}")
    if observer.troubles:
        raise AssertionError(f"there was trouble: {observer.troubles[:3]}")


def _signed_transfer(key: bytes, nonce: int, fee_per_gas_max_wei: int) -> bytes:
    unsigned = FeeMarketTransaction(
        chain_id=CHAIN_ID,
        nonce=nonce,
        max_priority_fee_per_gas=10**9,
        max_fee_per_gas=fee_per_gas_max_wei,
        gas_limit=21_000,
        to=bytes.fromhex(RECIPIENT[2:]),
        value=1,
    )
    return serialize_signed(unsigned, *sign_digest(key, signing_hash(unsigned)))


def _send_raw(number: int, raw: bytes) -> str:
    return f'{{"jsonrpc":"2.0","id":{number},"method":"eth_sendRawTransaction","params":["0x{raw.hex()}"]}}'
