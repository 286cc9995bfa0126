"""Finding, in blocks and logs, what concerns us.

Rules of this file

1. A native deposit is a transaction's own value to a managed address. Whether it succeeded, only its receipt says.
2. A token deposit is a `Transfer` event (EIP-20: three topics, one data word) of a listed contract. What has another shape
   (ERC-721 uses the same first topic with four topics) is not one, and is no reason to stop.
3. Movements of nothing are ignored: they are how addresses get poisoned.
4. A bloom filter may say "perhaps" for nothing, never "no" for something (Yellow Paper, section 4.3.1). `Block.logs_bloom` says
   which filters are none.
5. A block's logs and its receipts tell of the same transfers, or the node has not told all of one of them.
6. An internal deposit is ether that a contract's call moves to a managed address (`domain/tracing.py` says which calls do).
   A transaction's own value is never one, so that nothing is found twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache

import attrs

from custody_core.domain.addresses import address_from_bytes
from custody_core.domain.chain import Block, BlockTransaction, Hash, InternalTransfer, Log, Logs, Receipt
from custody_core.domain.deposit import DepositKey, DepositKind
from custody_core.domain.encoding import ERC20_TRANSFER_TOPIC, keccak256
from custody_core.domain.managed import ManagedAddresses
from custody_core.domain.tokens import NATIVE_ALIAS

_WORD = 32
_BLOOM_BYTES = 256


@attrs.frozen
class BlockMatches:
    """What concerns us in one block: transactions to (with value) and from managed addresses, and what contracts pay to them,
    in trace order.
    """

    block: Block
    incoming: tuple[BlockTransaction, ...]
    outgoing: tuple[BlockTransaction, ...]
    internal: tuple[InternalTransfer, ...] = ()

    @property
    def transaction_hashes(self) -> tuple[Hash, ...]:
        """The transactions whose receipts are needed, each once."""
        whole = [each.hash for each in (*self.incoming, *self.outgoing)]
        return tuple(dict.fromkeys([*whole, *(each.transaction_hash for each in self.internal)]))


@attrs.frozen
class TokenTransfer:
    """A well-formed EIP-20 `Transfer` event, read."""

    sender: bytes
    to: bytes
    amount: int


def match_block(block: Block, managed: ManagedAddresses, internal: Sequence[InternalTransfer] = ()) -> BlockMatches:
    """The transactions of `block`, and of its `internal` transfers those, that concern us."""
    transactions = block.transactions
    paid = [transactions[index] for index in managed.hits(transactions.recipients)]
    paid_within = [internal[index] for index in managed.hits([each.recipient for each in internal])]
    return BlockMatches(
        block,
        incoming=tuple(each for each in paid if each.value),
        outgoing=tuple(transactions[index] for index in managed.hits(transactions.senders)),
        internal=tuple(each for each in paid_within if each.value and each.sender != each.recipient),
    )


def concerning(logs: Logs, managed: ManagedAddresses, hashes: Collection[Hash]) -> tuple[Log, ...]:
    """Of a block's `Transfer` logs those from or to managed addresses, and those of the transactions `hashes`."""
    at = {*managed.hits(logs.addresses(1)), *managed.hits(logs.addresses(2))}
    if hashes:
        at.update(index for index, hash_ in enumerate(logs.transaction_hashes) if hash_ in hashes)
    return tuple(logs[index] for index in sorted(at))


def read_transfer(log: Log) -> TokenTransfer | None:
    """The transfer that a log tells of, or None when it has another shape."""
    shaped = len(log.topics) == 3 and log.topics[0] == ERC20_TRANSFER_TOPIC and len(log.data) == _WORD
    if not shaped or any(len(topic) != _WORD or any(topic[:12]) for topic in log.topics[1:]):
        return None
    return TokenTransfer(log.topics[1][12:], log.topics[2][12:], int.from_bytes(log.data, "big"))


def native_key(chain_id: int, transaction: BlockTransaction) -> DepositKey:
    """The identity of a transaction's own value, to a managed address."""
    if transaction.recipient is None:
        raise ValueError("a contract creation pays nobody")
    return DepositKey(
        chain_id=chain_id,
        transaction_hash=transaction.hash,
        kind=DepositKind.NATIVE,
        asset=NATIVE_ALIAS,
        sender=address_from_bytes(transaction.sender),
        to=address_from_bytes(transaction.recipient),
        amount=transaction.value,
        ordinal=0,
    )


def internal_keys(chain_id: int, transfers: Sequence[InternalTransfer]) -> list[DepositKey]:
    """The identities of `transfers` to managed addresses, which are in trace order."""
    keys: list[DepositKey] = []
    equals: Counter[InternalTransfer] = Counter()
    for transfer in transfers:
        keys.append(
            DepositKey(
                chain_id=chain_id,
                transaction_hash=transfer.transaction_hash,
                kind=DepositKind.INTERNAL,
                asset=NATIVE_ALIAS,
                sender=address_from_bytes(transfer.sender),
                to=address_from_bytes(transfer.recipient),
                amount=transfer.value,
                ordinal=equals[transfer],
            )
        )
        equals[transfer] += 1
    return keys


def token_keys(chain_id: int, logs: Sequence[Log], managed: ManagedAddresses) -> list[DepositKey]:
    """The identities of the token transfers to managed addresses among `logs`, which are in log order."""
    keys: list[DepositKey] = []
    equals: Counter[tuple[Hash, bytes, TokenTransfer]] = Counter()
    for log in logs:
        transfer = read_transfer(log)
        if transfer is None or transfer.amount == 0 or transfer.to not in managed or transfer.sender == transfer.to:
            continue
        same = (log.transaction_hash, log.emitter, transfer)
        keys.append(
            DepositKey(
                chain_id=chain_id,
                transaction_hash=log.transaction_hash,
                kind=DepositKind.TOKEN,
                asset=address_from_bytes(log.emitter),
                sender=address_from_bytes(transfer.sender),
                to=address_from_bytes(transfer.to),
                amount=transfer.amount,
                ordinal=equals[same],
            )
        )
        equals[same] += 1
    return keys


def transfers_agree(logs: Iterable[Log], receipts: Collection[Receipt], emitters: Collection[bytes]) -> bool:
    """Whether `logs`, the `Transfer` logs of `emitters` in one block, are for the transactions of `receipts` exactly those that
    the receipts hold.
    """
    ours = {receipt.transaction_hash for receipt in receipts}
    held = (log for receipt in receipts for log in receipt.logs)
    return {log for log in logs if log.transaction_hash in ours} == {
        log for log in held if log.emitter in emitters and log.topics[:1] == (ERC20_TRANSFER_TOPIC,)
    }


def bloom_admits(bloom: bytes | None, *, topic: bytes, emitters: Iterable[bytes]) -> bool:
    """Whether a block with this logs bloom may hold a log with `topic` from one of `emitters`. Without a bloom it may."""
    if bloom is None:
        return True
    return _bloom_has(bloom, topic) and any(_bloom_has(bloom, emitter) for emitter in emitters)


def _bloom_has(bloom: bytes, value: bytes) -> bool:
    return all(bloom[place] & mask for place, mask in _bloom_bits(value))


@lru_cache(maxsize=1024)
def _bloom_bits(value: bytes) -> Sequence[tuple[int, int]]:
    """The byte of each of the three bits that stand for `value`, and the bit in it. Always the same few tokens are looked for."""
    digest = keccak256(value)
    bits = [int.from_bytes(digest[index : index + 2], "big") & 2047 for index in (0, 2, 4)]
    return [(_BLOOM_BYTES - 1 - bit // 8, 1 << bit % 8) for bit in bits]
