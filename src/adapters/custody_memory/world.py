"""A chain that exists only here: blocks with real parent hashes, accounts, a pool, EIP-1559's base fee, finality, reorganisations.

Rules of this file

1. It knows no time and no chance: the same calls give the same hashes. Blocks are 12 seconds apart.
2. Nothing is mined until it is said. A block takes what pays best, in the order of each sender's nonces.
3. The fees of mined transactions are burnt; there is no miner who could be paid.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Concatenate, Final, ParamSpec, Protocol, TypeVar

from custody_core.domain.addresses import Address, address_from_bytes, address_to_bytes
from custody_core.domain.chain import Hash, Header, Receipt
from custody_core.domain.encoding import FeeMarketTransaction, erc20_transfer_calldata, keccak256, signing_payload
from custody_core.domain.fees import FEE_PER_GAS_SANE_MAX_WEI, GWEI
from custody_memory.blocks import BLOCK_GAS_LIMIT, MinedBlock, as_hash, base_fee_after, sealed, tip_wei
from custody_memory.execution import (
    TRANSFER_FROM_SELECTOR,
    Contract,
    Effect,
    Holding,
    Passing,
    PassingContract,
    RevertingContract,
    TokenContract,
    intrinsic_gas,
    run,
)
from custody_memory.mempool import Mempool, Pooled
from custody_memory.versioned import Versioned

P = ParamSpec("P")
R = TypeVar("R")

SECONDS_PER_BLOCK: Final = 12
GENESIS_AT: Final = datetime(2025, 1, 1, tzinfo=UTC)
OUTSIDER: Final = bytes.fromhex("0f" * 20)
"""An account of somebody else, with more ether than there is."""


class _Locked(Protocol):
    _lock: threading.RLock


S = TypeVar("S", bound=_Locked)


def synchronised(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """`method`, one thread at a time."""

    @wraps(method)
    def locked(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._lock:
            return method(self, *args, **kwargs)

    return locked


class World:
    """The chain, and what a test can do to it."""

    def __init__(
        self,
        chain_id: int = 31_337,
        *,
        finality_lag: int = 4,
        genesis_at: datetime = GENESIS_AT,
        base_fee_per_gas_wei: int = GWEI,
    ) -> None:
        self._lock = threading.RLock()
        self._chain_id = chain_id
        self._finality_lag = finality_lag
        self._genesis_at = genesis_at
        self._base_fee_next_wei = base_fee_per_gas_wei
        self._finality_stalled = False
        self._final = 0
        self._forks = 0
        self._contracts: dict[bytes, Contract] = {}
        self._held: Versioned[Holding] = Versioned()
        self._nonces: Versioned[bytes] = Versioned()
        self._pool = Mempool()
        self._receipts: dict[Hash, Receipt] = {}
        self._numbers: dict[Hash, int] = {}
        self._blocks: list[MinedBlock] = []
        self._append(())
        self._held.set((None, OUTSIDER), 0, 2**200)

    # What a test looks at

    @property
    def head(self) -> Header:
        """The newest header."""
        return self._blocks[-1].block.header

    @property
    def pool(self) -> Sequence[Hash]:
        """The hashes of what waits for a block."""
        return [pooled.hash for pooled in self._pool]

    # What a test does

    @synchronised
    def fund(self, address: Address, wei: int) -> None:
        """Ether from nowhere, without a transaction, in the newest block; a reorganisation of that block takes it away again."""
        self._change((None, address_to_bytes(address)), wei, self.head.number)

    @synchronised
    def deploy_token(self, *, fee_percent: int = 0) -> Address:
        """A new token, of which nobody has anything. Of what it moves it keeps so much, and does not say so."""
        return self._deploy(TokenContract(fee_percent))

    @synchronised
    def deploy_reverting(self, reason: str | None = None) -> Address:
        """A new contract that refuses everything."""
        return self._deploy(RevertingContract(reason))

    @synchronised
    def deploy_passing(self, to: Address, how: Passing = Passing.CALL, *, parts: int = 1) -> Address:
        """A new contract that passes the ether that it is sent on to `to`."""
        return self._deploy(PassingContract(address_to_bytes(to), how, parts))

    @synchronised
    def mint(self, token: Address, to: Address, amount: int) -> None:
        """Tokens from nowhere, without a transaction or an event; compare `fund`."""
        self._change((address_to_bytes(token), address_to_bytes(to)), amount, self.head.number)

    @synchronised
    def send_ether(self, to: Address, wei: int) -> Hash:
        """Somebody else sends ether; it waits for a block."""
        return self._send_from_outside(address_to_bytes(to), wei, b"")

    @synchronised
    def send_token(self, token: Address, to: Address, amount: int) -> Hash:
        """Somebody else, who gets the tokens for it, sends them on; it waits for a block."""
        contract = address_to_bytes(token)
        self._change((contract, OUTSIDER), amount, self.head.number)
        return self._send_from_outside(contract, 0, erc20_transfer_calldata(address_to_bytes(to), amount))

    @synchronised
    def take_token(self, token: Address, holder: Address, amount: int) -> Hash:
        """Somebody else, whom the holder allowed it, takes tokens; it waits for a block."""
        arguments = bytes(12) + address_to_bytes(holder) + bytes(12) + OUTSIDER + amount.to_bytes(32, "big")
        return self._send_from_outside(address_to_bytes(token), 0, TRANSFER_FROM_SELECTOR + arguments)

    @synchronised
    def mine(self, blocks: int = 1) -> None:
        """So many blocks more, each with what the pool has for it."""
        for _ in range(blocks):
            self._append(self._best_paying())

    @synchronised
    def reorg(self, depth: int, *, keep: Collection[Hash] = (), pooled: bool = True) -> None:
        """Replaces the newest `depth` blocks by as many others.

        The first of these holds again the transactions in `keep`, the rest are empty. The other transactions go back to the pool,
        as geth does it, or vanish (`pooled=False`), as on a node that has never heard of them.
        """
        if not 0 < depth <= self.head.number:
            raise ValueError(f"between 1 and {self.head.number} blocks can be replaced")
        removed = [transaction for mined in self._blocks[-depth:] for transaction in mined.included]
        self._remove(depth)
        self._forks += 1
        for transaction in removed:
            if pooled and transaction.hash not in keep:
                self._pool.put(transaction)
        self._append([transaction for transaction in removed if transaction.hash in keep])
        for _ in range(depth - 1):
            self._append(())

    @synchronised
    def drop(self, transaction_hash: Hash) -> None:
        """The pool forgets a transaction."""
        for waiting in [waiting for waiting in self._pool if waiting.hash == transaction_hash]:
            self._pool.drop(waiting)

    @synchronised
    def set_base_fee(self, base_fee_per_gas_wei: int) -> None:
        """The base fee of the next block; from there on it follows EIP-1559 again."""
        self._base_fee_next_wei = base_fee_per_gas_wei

    @synchronised
    def stall_finality(self, stalled: bool = True) -> None:
        """Whether the final block stays where it is while the head moves on."""
        self._finality_stalled = stalled
        self._finalise()

    # Inside

    def _deploy(self, contract: Contract) -> Address:
        address = keccak256(b"contract %d" % len(self._contracts))[12:]
        self._contracts[address] = contract
        return address_from_bytes(address)

    def _send_from_outside(self, to: bytes, value: int, data: bytes) -> Hash:
        nonce = self._nonces.at(OUTSIDER, self.head.number)
        while self._pool.of(OUTSIDER, nonce):
            nonce += 1
        transaction = FeeMarketTransaction(
            self._chain_id, nonce, GWEI, FEE_PER_GAS_SANE_MAX_WEI, intrinsic_gas(data) + 100_000, to, value, data
        )
        pooled = Pooled(as_hash(keccak256(signing_payload(transaction) + OUTSIDER)), OUTSIDER, transaction)
        self._pool.put(pooled)
        return pooled.hash

    def _change(self, holding: Holding, delta: int, height: int) -> None:
        self._held.set(holding, height, self._held.at(holding, height) + delta)

    def _finalise(self) -> None:
        if not self._finality_stalled:
            self._final = max(self._final, self.head.number - self._finality_lag)

    def _remove(self, depth: int) -> None:
        for mined in self._blocks[-depth:]:
            del self._numbers[mined.block.header.hash]
            for receipt in mined.receipts:
                del self._receipts[receipt.transaction_hash]
        self._base_fee_next_wei = self._blocks[-depth].base_fee_per_gas_wei
        del self._blocks[-depth:]
        self._held.forget_above(self.head.number)
        self._nonces.forget_above(self.head.number)

    def _best_paying(self) -> list[Pooled]:
        """What the next block takes, by tip; of one sender strictly by nonce."""
        base_fee_wei, chosen, gas_left = self._base_fee_next_wei, list[Pooled](), BLOCK_GAS_LIMIT
        waiting: list[tuple[int, int, Pooled]] = []

        def enqueue(arrival: int, sender: bytes, nonce: int) -> None:
            pooled = self._pool.of(sender, nonce)
            if pooled is not None and pooled.transaction.max_fee_per_gas >= base_fee_wei:
                heapq.heappush(waiting, (-tip_wei(pooled, base_fee_wei), arrival, pooled))

        for arrival, sender in enumerate(self._pool.senders()):
            enqueue(arrival, sender, self._nonces.at(sender, self.head.number))
        while waiting:
            _, arrival, pooled = heapq.heappop(waiting)
            if pooled.transaction.gas_limit <= gas_left:
                gas_left -= pooled.transaction.gas_limit
                chosen.append(pooled)
                enqueue(arrival, pooled.sender, pooled.transaction.nonce + 1)
        return chosen

    def _append(self, transactions: Sequence[Pooled]) -> None:
        """One block more, of those `transactions` that their senders can pay for."""
        number, base_fee_wei = len(self._blocks), self._base_fee_next_wei
        done: list[tuple[Pooled, Effect]] = []
        for pooled in transactions:
            effect = self._execute(pooled, number, base_fee_wei)
            self._pool.drop(pooled)
            if effect is not None:
                done.append((pooled, effect))
                self._pool.drop_below(pooled.sender, pooled.transaction.nonce + 1)
        mined = sealed(
            self._chain_id,
            parent=self.head if self._blocks else None,
            timestamp=self._genesis_at + timedelta(seconds=SECONDS_PER_BLOCK * number),
            fork=self._forks,
            base_fee_per_gas_wei=base_fee_wei,
            done=done,
        )
        self._blocks.append(mined)
        self._numbers[mined.block.header.hash] = number
        self._receipts |= {receipt.transaction_hash: receipt for receipt in mined.receipts}
        self._base_fee_next_wei = base_fee_after(base_fee_wei, mined.gas_used)
        self._finalise()

    def _execute(self, pooled: Pooled, height: int, base_fee_wei: int) -> Effect | None:
        transaction, sender = pooled.transaction, pooled.sender
        if self._nonces.at(sender, height) != transaction.nonce or self._held.at((None, sender), height) < pooled.cost_max_wei:
            return None
        effect = run(
            self._contracts,
            lambda holding: self._held.at(holding, height),
            sender=sender,
            to=transaction.to,
            value=transaction.value,
            data=transaction.data,
            access_list=transaction.access_list,
        )
        if effect.gas_used > transaction.gas_limit:
            effect = Effect(transaction.gas_limit, reverted=True, reason="out of gas")
        self._nonces.set(sender, height, transaction.nonce + 1)
        self._change((None, sender), -effect.gas_used * (base_fee_wei + tip_wei(pooled, base_fee_wei)), height)
        for source, target, amount in effect.moves:
            self._change(source, -amount, height)
            self._change(target, amount, height)
        return effect
