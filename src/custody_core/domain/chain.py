"""The chain as we follow it.

Rules of this file

1. Every header is stored and names its parent; the stored headers form one chain. A block that does not link is not ours yet.
2. The cursor is the newest stored header. It moves forward by whole blocks and backward only to a common ancestor.
3. The final block never moves backward and never changes. If a node shows another hash at or below it, the line stops: the chain is
   halted and nothing is reversed by itself.
4. A node that knows less than we do is late, not right: a lower head with the hash that we stored is no reorganisation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NewType

import attrs

Hash = NewType("Hash", str)
"""A 32-byte hash as `0x` and 64 lower-case hex digits."""

_NAMES: Mapping[int, str] = {1: "mainnet", 8453: "base", 31337: "local", 560048: "hoodi", 11155111: "sepolia"}
"""EIP-155 ids of chains that people know by a name; 31337 is what dev chains on one's own machine use."""


def chain_name(chain_id: int) -> str:
    """What people call a chain; its CAIP-2 id where it has no common name."""
    return _NAMES.get(chain_id, f"eip155:{chain_id}")


@attrs.frozen
class BlockRef:
    """A block, by number and hash, with the chain's own time."""

    number: int
    hash: Hash
    timestamp: datetime


@attrs.frozen
class Header:
    """What links one block to the one before it. `logs_bloom` is the 2048-bit filter of the block's logs, None where a node
    left it out.
    """

    number: int
    hash: Hash
    parent_hash: Hash
    timestamp: datetime
    logs_bloom: bytes | None = None

    @property
    def ref(self) -> BlockRef:
        """The header's block, named."""
        return BlockRef(self.number, self.hash, self.timestamp)


@attrs.frozen
class BlockTransaction:
    """A transaction of a block, as far as we need it. Addresses are 20 raw bytes; `recipient` is None where a contract is
    created.
    """

    hash: Hash
    sender: bytes
    recipient: bytes | None
    nonce: int
    value: int


class Transactions:
    """The transactions of a block, in order.

    A block has hundreds, of which few concern us, so they are looked through by column. Whoever reads them from elsewhere may make
    one only when it is asked for; it has checked them all before.
    """

    def __init__(self, transactions: Iterable[BlockTransaction]) -> None:
        self._transactions = tuple(transactions)

    def __len__(self) -> int:
        return len(self._transactions)

    def __getitem__(self, index: int) -> BlockTransaction:
        return self._transactions[index]

    def __iter__(self) -> Iterator[BlockTransaction]:
        return (self[index] for index in range(len(self)))

    @property
    def senders(self) -> Sequence[bytes]:
        """Who sent each."""
        return [each.sender for each in self._transactions]

    @property
    def recipients(self) -> Sequence[bytes | None]:
        """Whom each calls or pays."""
        return [each.recipient for each in self._transactions]


def _as_transactions(transactions: Transactions | Iterable[BlockTransaction]) -> Transactions:
    return transactions if isinstance(transactions, Transactions) else Transactions(transactions)


@attrs.frozen
class Block:
    """A block with all of its transactions, in order."""

    header: Header
    transactions: Transactions = attrs.field(converter=_as_transactions)

    @property
    def logs_bloom(self) -> bytes | None:
        """The filter of the block's logs, None where there is none to go by.

        Some chains and nodes do not fill it in, and send zeros. Zeros are therefore believed of a block without transactions only:
        what emits no log has no bit set either, but then little is lost by looking. Header hashes are not computed here (every
        fork and every rollup has fields of its own), so a filter is its node's word and no proof.
        """
        bloom = self.header.logs_bloom
        return bloom if bloom is None or any(bloom) or not self.transactions else None


@attrs.frozen
class Log:
    """An event that a contract emitted."""

    block_hash: Hash
    transaction_hash: Hash
    log_index: int
    emitter: bytes
    topics: tuple[bytes, ...]
    data: bytes


class Logs:
    """Logs of one block, in order, by column as `Transactions` are."""

    def __init__(self, block_hash: Hash, logs: Iterable[Log] = ()) -> None:
        self.block_hash = block_hash
        self._logs = tuple(logs)

    def __len__(self) -> int:
        return len(self._logs)

    def __getitem__(self, index: int) -> Log:
        return self._logs[index]

    def __iter__(self) -> Iterator[Log]:
        return (self[index] for index in range(len(self)))

    @property
    def transaction_hashes(self) -> Sequence[Hash]:
        """What emitted each."""
        return [each.transaction_hash for each in self._logs]

    def addresses(self, topic: int) -> Sequence[bytes]:
        """The last 20 bytes of each one's topic at that index, which is where it keeps an address; `b""` where it has none."""
        return [each.topics[topic][12:] if len(each.topics) > topic else b"" for each in self._logs]


@attrs.frozen
class InternalTransfer:
    """Ether that a call within a transaction moved, and that nothing took back. Addresses are 20 raw bytes, the value is in wei."""

    transaction_hash: Hash
    sender: bytes
    recipient: bytes
    value: int


@attrs.frozen
class Receipt:
    """What became of a transaction in a block. `succeeded` is the status of EIP-658; `logs` is all that it emitted."""

    transaction_hash: Hash
    block_hash: Hash
    block_number: int
    succeeded: bool
    gas_used: int
    effective_gas_price_wei: int
    logs: tuple[Log, ...] = ()


@attrs.frozen
class ChainState:
    """One row per followed chain. `version` fences: a follower that lost its lead cannot save over its successor's row."""

    chain_id: int
    start: BlockRef
    cursor: BlockRef
    final: BlockRef
    halted_reason: str | None = None
    version: int = 1


@attrs.frozen
class Reorganisation:
    """What a reorganisation took back. `cursor` is the newest block that we followed before, `ancestor` the newest that stayed;
    `events` is how many events told of it.
    """

    id: str
    chain_id: int
    found_at: datetime
    cursor: BlockRef
    ancestor: BlockRef
    deposit_ids: tuple[str, ...] = ()
    transaction_ids: tuple[str, ...] = ()
    events: int = 0

    @property
    def depth(self) -> int:
        """How many blocks were taken back."""
        return self.cursor.number - self.ancestor.number


def links(parent: BlockRef, block: Header) -> bool:
    """Whether `block` is the next one on top of `parent`."""
    return block.number == parent.number + 1 and block.parent_hash == parent.hash


def common_ancestor(stored: Sequence[Header], canonical: Mapping[int, Hash]) -> Header | None:
    """The newest of our `stored` headers (oldest first) whose hash the node agrees with, or None when it agrees with none of
    them.
    """
    return next((header for header in reversed(stored) if canonical.get(header.number) == header.hash), None)


def final_number(*, tagged: int | None, head: int, confirmations: int | None) -> int | None:
    """The height that counts as final: the node's `finalized` tag, or `confirmations` blocks below the head where a depth is set.

    A depth of 1 makes the head itself final. None while the node has not said.
    """
    if confirmations is not None:
        return max(head - confirmations + 1, 0)
    return tagged
