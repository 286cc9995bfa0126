"""One service, one process at a time, and one call to a port at which it may be struck."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar

import attrs

from custody_core import Custody, DepositState, Limits, Transaction, Wallet
from custody_core.domain.addresses import Address, address_to_bytes
from custody_core.domain.chain import Hash
from custody_core.domain.encoding import FeeMarketTransaction, keccak256, signing_payload
from custody_core.domain.fees import GWEI
from custody_core.domain.wallet import WalletState
from custody_core.errors import Conflict, FeeUnavailable, InvalidStateTransition, NodeUnavailable, OutcomeUnknown, SignerUnavailable
from custody_core.ports import Chain
from custody_memory.blocks import as_hash
from custody_memory.mempool import Pooled
from tests.unit.simulation import keys
from tests.unit.simulation.block_tree import BlockTree
from tests.unit.simulation.chance import StreamEntropy, Streams
from tests.unit.simulation.failures import NotLive, require
from tests.unit.simulation.gate import Fate, Killed, OpenGate
from tests.unit.simulation.invariants import Invariants
from tests.unit.simulation.journal import JournalStore, Snapshot
from tests.unit.simulation.lies import Lies
from tests.unit.simulation.nodes import Nodes
from tests.unit.simulation.operators import POLICY
from tests.unit.simulation.oracle import Oracle
from tests.unit.simulation.props import FRIEND, FickleSigner, PlannedTrouble, PlannedView, StrikingGate
from tests.unit.simulation.site import CHAIN_ID, Parts, Watch
from tests.unit.simulation.virtual_time import MICROSECONDS, VirtualTime

T = TypeVar("T")

FINALITY_LAG: Final = 2
ROUNDS_MAX: Final = 60
ASKED_AGAIN: Final = (Conflict, OutcomeUnknown, NodeUnavailable, FeeUnavailable, SignerUnavailable)
LIMITS: Final = Limits(key_pool_size=1, reconcile_requests_per_minute=1, dust_wei=10, gas_limit_max=1_000_000)

SELECTED: Final = {"transactions": "unsettled", "deposits": "confirming_deposits"}
"""Where the simulated store keeps those rows of a table once more that are looked for by what is in them."""


@attrs.frozen
class Backup:
    """The books at some time, and what their judge remembered of them."""

    books: Snapshot
    marks: dict[object, dict[str, Any]]


@attrs.frozen
class Stage:
    """What a workflow plays on: how many nodes, and what else is set."""

    views: int = 1
    limits: Limits = LIMITS
    is_tiny: bool = False
    """Whether addresses are held as a very large service holds them."""


class Rehearsal:
    """A workflow's stage. `strikes` says what happens at which call, from 1; nothing in the clean run."""

    def __init__(self, strikes: Mapping[int, Fate] | None = None, stage: Stage | None = None) -> None:
        self.stage = stage or Stage()
        streams = Streams(0)
        entropy = StreamEntropy(streams.stream("entropy"))
        self.time = VirtualTime()
        self.tree = BlockTree(CHAIN_ID, finality_lag=FINALITY_LAG, recover=keys.recover)
        self.oracle = Oracle(self.tree)
        self.invariants = Invariants(self.oracle, self.stage.limits, Lies())
        self.store = JournalStore(self.invariants.committed)
        self.trouble = PlannedTrouble()
        self.views = [PlannedView(self.tree, self.trouble, streams.stream("views")) for _ in range(self.stage.views)]
        self.signer, watch = FickleSigner(entropy), Watch(self.invariants)
        self._parts = Parts(self.store, Nodes(CHAIN_ID, self.views), self.signer, entropy, self.time, watch)
        self._gate = StrikingGate(self.time, strikes or {})
        self.crashes = 0
        self.sends: dict[str, str] = {}
        self._restart()
        self.token = self.tree.deploy_token()
        self.oracle.tokens.add(bytes.fromhex(self.token[2:]))
        self.custody.make_ready()
        self.custody.policies.publish(POLICY)
        self.custody.tokens.add(chain_id=CHAIN_ID, address=self.token, alias="usdc", decimals=6)
        self.wallet: Wallet = self.custody.wallets.create(owner="alice", idempotency_key="wallet")

    @property
    def calls(self) -> list[str]:
        """The calls to ports since it was armed."""
        return self._gate.calls

    @property
    def landed(self) -> int:
        """How many of the strikes came to something."""
        return self._gate.landed

    def arm(self) -> None:
        """From here on calls are counted, and one is struck."""
        self._gate.is_armed = True

    def fund(self, wei: int = 10**18, tokens: int = 0) -> None:
        """Deposits, until they are final."""
        self.tree.send_ether(self.wallet.address, wei)
        if tokens:
            self.tree.send_token(self.token, self.wallet.address, tokens)
        self.blocks(FINALITY_LAG + 1)

    def ask(self, act: Callable[[Custody], T]) -> T:
        """Asks until it is answered: again after a lost answer, of a new process after a crash."""
        while True:
            try:
                return act(self.custody)
            except Killed:
                self.crashes += 1
                self._restart()
            except ASKED_AGAIN:
                self.time.us += MICROSECONDS

    def send(self, key: str = "send", **request: object) -> str:
        """A send under that key; its id."""
        filled: dict[str, Any] = {"to": FRIEND, "amount": 10**17, "idempotency_key": key} | request
        made = self.ask(lambda custody: custody.transactions.send(self.wallet.id, **filled))
        self.sends[key] = made.id
        return made.id

    def rounds(self, count: int = 1, *, seconds: float = 1) -> None:
        """Rounds of the background work."""
        for _ in range(count):
            self.ask(lambda custody: custody.tick())
            self.time.us += int(seconds * MICROSECONDS)

    def unfreeze(self) -> None:
        """An operator lets the wallet go on, once."""

        def act(custody: Custody) -> None:
            if custody.wallets.get(self.wallet.id).state is WalletState.FROZEN:
                custody.wallets.unfreeze(self.wallet.id)

        self.ask(act)

    def release(self, deposit_id: str) -> None:
        """An operator gives what is quarantined to its owner, once."""

        def act(custody: Custody) -> None:
            if self.store.tables.deposits.rows[deposit_id].state is DepositState.QUARANTINED:
                custody.transactions.release(deposit_id, note="looked at")

        self.ask(act)

    def blocks(self, count: int = 1) -> None:
        """Blocks, each followed by a round."""
        for _ in range(count):
            self.tree.mine()
            self.rounds()

    def until(self, holds: Callable[[], bool], *, seconds: float = 15) -> None:
        """Rounds until it holds."""
        for _ in range(ROUNDS_MAX):
            if holds():
                return
            self.rounds(seconds=seconds)
        raise NotLive("it does not come about")

    def meanwhile(self, call: str, act: Callable[[Custody], object]) -> None:
        """Just before the next call of that name another process does something."""

        def run() -> None:
            act(self._parts.custody(OpenGate(), limits=self.stage.limits))

        self._gate.meanwhile[call] = run

    def dies(self, call: str, act: Callable[[Custody], object]) -> None:
        """Another process does something, and dies just before its first call of that name."""
        gate = StrikingGate(self.time, {})
        gate.meanwhile[call] = gate.die
        with suppress(Killed):
            act(self._parts.custody(gate, limits=self.stage.limits))

    def is_halted(self) -> bool:
        """Whether a final block is another one than it was, so far as the books know."""
        (state,) = list(self.store.tables.chains)
        return state.halted_reason is not None

    def tamper(self, table: str, key: str, row: object) -> None:
        """Somebody who can write to the database changes a row behind the service's back; None takes it away."""
        tables = self.store.tables
        rows = getattr(tables, table).rows
        if row is None:
            dict.pop(rows, key)
            return
        selected = SELECTED.get(table)
        for each in [rows, getattr(tables, selected).rows if selected else {}]:
            if key in each or each is rows:
                dict.__setitem__(each, key, row)

    def signed_elsewhere(self, to: Address, wei: int, *, data: bytes = b"", gas_limit: int = 21_000) -> Hash:
        """Somebody else has the wallet's key, and signs at the nonce that is next on the chain; it waits for a block."""
        raw = address_to_bytes(self.wallet.address)
        nonce = self.tree.nonce(raw, self.tree.head.number)
        unsigned = FeeMarketTransaction(CHAIN_ID, nonce, 9 * GWEI, 90 * GWEI, gas_limit, address_to_bytes(to), wei, data)
        pooled = Pooled(as_hash(keccak256(signing_payload(unsigned) + b"elsewhere")), raw, unsigned)
        self.is_not_ours(pooled.hash, nonce)
        self.tree.put_back(pooled)
        return pooled.hash

    def counts(self, token: Address) -> None:
        """What the judges have to know: transfers of this token count, too. Those in final blocks are for a rescan to find."""
        raw, scene = address_to_bytes(token), self.invariants.scene
        self.oracle.tokens.add(raw)
        paid = self.oracle.owed(1, scene.final, scene.managed)
        self.invariants.arrivals.missed += Counter({each: count for each, count in paid.items() if each[1][2] == "0x" + raw.hex()})

    def is_not_ours(self, hash_: Hash, nonce: int) -> None:
        """What the judges have to know: the books cannot have this transaction of the wallet's."""
        self.oracle.foreign[hash_] = address_to_bytes(self.wallet.address), nonce

    def waits_for_a_block(self) -> Pooled:
        """What is first in the pool."""
        return next(iter(self.tree._pool))

    def service_for(self, chain: Chain) -> Custody:
        """A service on the same books that was just configured for another chain as well."""
        kit = self._parts.custody(OpenGate())._kit
        chains = {**kit.chains, chain.chain_id: chain}
        return Custody(store=self.store, chains=chains, keys=None, clock=kit.clock, entropy=kit.entropy, observer=kit.observer)

    def adopt(self) -> None:
        """What somebody else signed becomes final; then an operator lets the wallet go on that was stopped for it."""
        self.blocks(FINALITY_LAG + 1)

        def is_adopted() -> bool:
            if self.ask(lambda custody: custody.chains.stopped_wallets()):
                with suppress(InvalidStateTransition):
                    self.ask(lambda custody: custody.chains.adopt(CHAIN_ID))
            return self.store.tables.wallets.rows[self.wallet.id].state is WalletState.OPEN

        self.until(is_adopted)

    def transaction(self, id_: str) -> Transaction:
        """A send, as it is now."""
        return self.store.tables.transactions.rows[id_]

    def settle(self) -> None:
        """Blocks and rounds until nothing is left to do."""
        tables = self.store.tables

        def is_quiet() -> bool:
            (state,) = list(tables.chains)
            behind = state.cursor.number < self.tree.head.number or state.final.number < self.tree.final
            return not (tables.unsettled.rows or tables.confirming_deposits.rows or tables.unsealed_audit.rows or behind)

        for _ in range(ROUNDS_MAX):
            self.tree.mine()
            self.rounds(seconds=12)
            if is_quiet():
                return
        raise NotLive(f"not quiet: {list(tables.unsettled) or list(tables.chains)}")

    def require_sound(self) -> None:
        """Every verdict is good, nothing is in suspense, and everything is as the chain says, counted anew."""
        self._gate.is_armed = False
        self.invariants.recount(self.store.tables)
        verdicts = {check.id: check.violations for check in self.custody.reconcile().checks if not check.ok}
        require(not verdicts, "reconcile", str(verdicts))
        require(not self.custody.suspense.list(), "INV-1", "something is in suspense")

    def hand_over(self) -> None:
        """Another process goes on."""
        self._restart()

    def restart_from(self, backup: Backup) -> None:
        """Books of an earlier time, and a new process on them."""
        self.store.restore(backup.books)
        self.invariants.go_back(backup.marks)
        self._restart()

    def send_again_after_a_backup(self) -> str:
        """Books of before a send left. Since then it left, and a dearer attempt of it, which is mined. Its id."""
        backups = list[Backup]()
        self.meanwhile("broadcast", lambda _: backups.append(self.backup()))
        sent = self.send()
        self.until(lambda: bool(self.tree.pool))
        self.custody.transactions.speed_up(sent)
        self.until(lambda: [each.first_sent_at is None for each in self.transaction(sent).attempts] == [False, False])
        self.tree.mine()
        self.restart_from(backups[0])
        return sent

    def backup(self) -> Backup:
        """Everything that a backup of the database holds."""
        return Backup(self.store.snapshot(), self.invariants.marks())

    def contract(self, to: Address) -> Address:
        """A contract that passes ether on."""
        return self.tree.deploy_passing(to)

    def market(self, base_fee_gwei: int) -> None:
        """The base fee from the next block on."""
        self.tree.set_base_fee(base_fee_gwei * GWEI)

    def _restart(self) -> None:
        """A new process. The old one's leases have run out by then."""
        self._gate.live_again()
        self.time.us += 25 * MICROSECONDS
        self.custody = self._parts.custody(self._gate, limits=self.stage.limits)
