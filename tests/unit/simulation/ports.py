"""The core's ports behind a gate: each call waits for its turn and meets its fate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol, TypeVar

from custody_core.domain.addresses import Address
from custody_core.domain.authorisation import Authorised
from custody_core.domain.chain import Block, BlockRef, Hash, Header, InternalTransfer, Logs, Receipt
from custody_core.domain.fees import FeeHistory
from custody_core.domain.wallet import SealedKey
from custody_core.errors import Conflict, OutcomeUnknown, SignerUnavailable
from custody_core.ports import (
    AccountState,
    Answer,
    BlockTag,
    BroadcastAnswer,
    BroadcastOutcome,
    Call,
    Chain,
    Doubt,
    Found,
    Keys,
    Reverted,
    SignedBytes,
    SignedTransaction,
    Unit,
    Unknown,
    Witness,
    no_doubt,
)
from custody_memory.chain import SILENCE
from tests.unit.simulation.failures import require
from tests.unit.simulation.gate import Fate, Gate
from tests.unit.simulation.journal import JournalStore

T = TypeVar("T")

_UNKNOWN: Final = Unknown(SILENCE)
_UNHEARD: Final = BroadcastAnswer(BroadcastOutcome.UNKNOWN, SILENCE)


class Watcher(Protocol):
    """Who is told what leaves the processes."""

    def signed(self, key: SealedKey, signed: SignedTransaction) -> None:
        """A signature was made."""
        ...

    def broadcasting(self, raws: Sequence[bytes]) -> None:
        """Bytes are about to leave."""
        ...


class GatedStore:
    """The `Store` port of one thread."""

    def __init__(self, store: JournalStore, gate: Gate) -> None:
        self._store = store
        self._gate = gate

    @contextmanager
    def transaction(self) -> Iterator[Unit]:
        """One call: what its unit reads and writes happens at once, or not at all."""
        fate = self._gate.enter("commit")
        with self._store.transaction() as unit:
            yield unit
            if fate is Fate.REFUSED:
                raise Conflict("could not serialise access")
            if fate is Fate.LOST_BEFORE:
                raise OutcomeUnknown("the connection was lost")
        self._gate.leave(fate)
        if fate is Fate.LOST_AFTER:
            raise OutcomeUnknown("the connection was lost")

    @contextmanager
    def reading(self) -> Iterator[Unit]:
        """One call."""
        fate = self._gate.enter("read")
        with self._store.reading() as unit:
            yield unit
        self._gate.leave(fate)

    def close(self) -> None:
        """Nothing to let go of."""


class GatedKeys:
    """The `Keys` port of one thread."""

    def __init__(self, keys: Keys, gate: Gate, watcher: Watcher) -> None:
        self._keys = keys
        self._gate = gate
        self._watcher = watcher

    def create(self, wallet_ids: Sequence[str]) -> Sequence[SealedKey]:
        """New keys."""
        return self._ask("create", lambda: self._keys.create(wallet_ids))

    def verify(self, key: SealedKey) -> None:
        """Whether it opens."""
        self._ask("verify", lambda: self._keys.verify(key))

    def sign(self, authorised: Authorised, key: SealedKey) -> SignedTransaction:
        """A signature."""

        def sign() -> SignedTransaction:
            signed = self._keys.sign(authorised, key)
            self._watcher.signed(key, signed)
            return signed

        return self._ask("sign", sign)

    def _ask(self, call: str, act: Callable[[], T]) -> T:
        fate = self._gate.enter(call)
        if fate in {Fate.REFUSED, Fate.LOST_BEFORE}:
            raise SignerUnavailable("the signer does not answer")
        answer = act()
        self._gate.leave(fate)
        if fate is Fate.LOST_AFTER:
            raise SignerUnavailable("the signer does not answer")
        return answer


class _GatedQuestions:
    """What a node alone and all nodes together are asked in the same way."""

    def __init__(self, node: Witness, gate: Gate, is_in_unit: Callable[[], bool]) -> None:
        self._node = node
        self._gate = gate
        self._is_in_unit = is_in_unit

    def blocks(self, numbers: Sequence[int]) -> Sequence[Answer[Block]]:
        return self._several("blocks", lambda: self._node.blocks(numbers), len(numbers))

    def receipts(self, transaction_hashes: Sequence[Hash]) -> Sequence[Answer[Receipt]]:
        return self._several("receipts", lambda: self._node.receipts(transaction_hashes), len(transaction_hashes))

    def internal_transfers(self, blocks: Sequence[Block]) -> Sequence[Answer[Sequence[InternalTransfer]]]:
        return self._several("internal_transfers", lambda: self._node.internal_transfers(blocks), len(blocks))

    def balances(self, holders: Sequence[tuple[Address, Address | None]], at: BlockRef) -> Sequence[Answer[int]]:
        return self._several("balances", lambda: self._node.balances(holders, at), len(holders))

    def header(self, at: int | BlockTag) -> Answer[Header]:
        return self._one("header", lambda: self._node.header(at))

    def _ask(self, call: str, act: Callable[[], T], lost: T) -> T:
        require(not self._is_in_unit(), "no call within a unit", f"{call} was asked between a first statement and its commit")
        fate = self._gate.enter(call)
        if fate in {Fate.REFUSED, Fate.LOST_BEFORE}:
            return lost
        answer = act()
        self._gate.leave(fate)
        return lost if fate is Fate.LOST_AFTER else answer

    def _several(self, call: str, act: Callable[[], Sequence[Answer[T]]], count: int) -> Sequence[Answer[T]]:
        lost: Sequence[Answer[T]] = [_UNKNOWN] * count
        return self._ask(call, act, lost)

    def _one(self, call: str, act: Callable[[], Answer[T]]) -> Answer[T]:
        lost: Answer[T] = _UNKNOWN
        return self._ask(call, act, lost)


class GatedWitness(_GatedQuestions):
    """One node alone, for one thread."""

    def logs(self, block_hashes: Sequence[Hash], *, topic: bytes, emitters: Sequence[bytes]) -> Sequence[Answer[Logs]]:
        asked = lambda: self._node.logs(block_hashes, topic=topic, emitters=emitters)  # noqa: E731  one of many
        return self._several("logs", asked, len(block_hashes))


class GatedChain(_GatedQuestions):
    """The `Chain` port of one thread."""

    def __init__(self, chain: Chain, gate: Gate, watcher: Watcher, is_in_unit: Callable[[], bool]) -> None:
        super().__init__(chain, gate, is_in_unit)
        self._chain = chain
        self._watcher = watcher

    @property
    def chain_id(self) -> int:
        return self._chain.chain_id

    @property
    def witnesses(self) -> Sequence[Witness]:
        return [GatedWitness(each, self._gate, self._is_in_unit) for each in self._chain.witnesses]

    def node_chain_id(self) -> Answer[int]:
        return Found(self._chain.chain_id)

    def ends(self) -> tuple[Answer[Header], Answer[Header]]:
        lost: tuple[Answer[Header], Answer[Header]] = (_UNKNOWN, _UNKNOWN)
        return self._ask("ends", self._chain.ends, lost)

    def synced_head(self) -> Answer[Header]:
        return self._one("synced_head", self._chain.synced_head)

    def headers(self, numbers: Sequence[int]) -> Sequence[Answer[Header]]:
        return self._several("headers", lambda: self._chain.headers(numbers), len(numbers))

    def logs(
        self, block_hashes: Sequence[Hash], *, topic: bytes, emitters: Sequence[bytes], doubt: Doubt[Logs] = no_doubt
    ) -> Sequence[Answer[Logs]]:
        asked = lambda: self._chain.logs(block_hashes, topic=topic, emitters=emitters, doubt=doubt)  # noqa: E731  one of many
        return self._several("logs", asked, len(block_hashes))

    def receipts(self, transaction_hashes: Sequence[Hash], *, doubt: Doubt[Receipt] = no_doubt) -> Sequence[Answer[Receipt]]:
        asked = lambda: self._chain.receipts(transaction_hashes, doubt=doubt)  # noqa: E731  one of many
        return self._several("receipts", asked, len(transaction_hashes))

    def signed_transactions(self, hashes: Sequence[Hash]) -> Sequence[Answer[SignedBytes]]:
        return self._several("signed_transactions", lambda: self._chain.signed_transactions(hashes), len(hashes))

    def account(self, address: Address, at: int | BlockTag) -> Answer[AccountState]:
        return self._one("account", lambda: self._chain.account(address, at))

    def known_nonces(self, addresses: Sequence[Address], *, reserved: Sequence[int]) -> Sequence[Answer[int]]:
        return self._several("known_nonces", lambda: self._chain.known_nonces(addresses, reserved=reserved), len(addresses))

    def fee_history(self) -> Answer[FeeHistory]:
        return self._one("fee_history", self._chain.fee_history)

    def estimate_gas(self, calls: Sequence[Call]) -> Sequence[Answer[int | Reverted]]:
        return self._several("estimate_gas", lambda: self._chain.estimate_gas(calls), len(calls))

    def try_call(self, call: Call, *, on_top_of: int) -> Answer[bytes | Reverted]:
        return self._one("try_call", lambda: self._chain.try_call(call, on_top_of=on_top_of))

    def broadcast(self, raws: Sequence[bytes]) -> Sequence[BroadcastAnswer]:
        def send() -> Sequence[BroadcastAnswer]:
            self._watcher.broadcasting(raws)
            return self._chain.broadcast(raws)

        return self._ask("broadcast", send, [_UNHEARD] * len(raws))
