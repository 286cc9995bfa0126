"""A block from what was executed in it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import attrs

from custody_core.domain.chain import Block, BlockTransaction, Hash, Header, InternalTransfer, Log, Receipt
from custody_core.domain.encoding import RlpValue, keccak256, rlp_encode
from custody_memory.execution import Effect, Event, logs_bloom
from custody_memory.mempool import Pooled

BLOCK_GAS_LIMIT: Final = 30_000_000
BASE_FEE_MAX_CHANGE_DENOMINATOR: Final = 8  # EIP-1559
ELASTICITY_MULTIPLIER: Final = 2  # EIP-1559


@attrs.frozen
class MinedBlock:
    """A block and all that follows from it."""

    block: Block
    included: tuple[Pooled, ...]
    receipts: tuple[Receipt, ...]
    logs: tuple[Log, ...]
    internal: tuple[InternalTransfer, ...]
    base_fee_per_gas_wei: int
    gas_used: int


def sealed(
    chain_id: int,
    *,
    parent: Header | None,
    timestamp: datetime,
    fork: int,
    base_fee_per_gas_wei: int,
    done: Sequence[tuple[Pooled, Effect]],
) -> MinedBlock:
    """The block on top of `parent`. `fork` makes it differ from another block of the same content at the same height."""
    number, parent_hash = (parent.number + 1, parent.hash) if parent else (0, as_hash(bytes(32)))
    identity: RlpValue = (
        (chain_id, number, bytes.fromhex(parent_hash[2:]), fork, base_fee_per_gas_wei),
        [bytes.fromhex(pooled.hash[2:]) for pooled, _ in done],
    )
    events = [(pooled.hash, event) for pooled, effect in done for event in effect.events]
    header = Header(
        number=number,
        hash=as_hash(keccak256(rlp_encode(identity))),
        parent_hash=parent_hash,
        timestamp=timestamp,
        logs_bloom=logs_bloom(event for _, event in events),
    )
    logs = tuple(_log(header, index, hash_, event) for index, (hash_, event) in enumerate(events))
    return MinedBlock(
        block=Block(header, [_in_block(pooled) for pooled, _ in done]),
        included=tuple(pooled for pooled, _ in done),
        receipts=tuple(_receipt(header, pooled, effect, base_fee_per_gas_wei, logs) for pooled, effect in done),
        logs=logs,
        internal=tuple(InternalTransfer(pooled.hash, *moved) for pooled, effect in done for moved in effect.internal),
        base_fee_per_gas_wei=base_fee_per_gas_wei,
        gas_used=sum(effect.gas_used for _, effect in done),
    )


def as_hash(raw: bytes) -> Hash:
    """32 bytes as the core writes hashes."""
    return Hash("0x" + raw.hex())


def tip_wei(pooled: Pooled, base_fee_per_gas_wei: int) -> int:
    """What a transaction pays per gas above the base fee."""
    transaction = pooled.transaction
    return min(transaction.max_priority_fee_per_gas, transaction.max_fee_per_gas - base_fee_per_gas_wei)


def base_fee_after(base_fee_wei: int, gas_used: int) -> int:
    """The next block's base fee (EIP-1559)."""
    target = BLOCK_GAS_LIMIT // ELASTICITY_MULTIPLIER
    change = base_fee_wei * abs(gas_used - target) // target // BASE_FEE_MAX_CHANGE_DENOMINATOR
    if gas_used > target:
        return base_fee_wei + max(change, 1)
    return base_fee_wei - change


def _in_block(pooled: Pooled) -> BlockTransaction:
    transaction = pooled.transaction
    return BlockTransaction(pooled.hash, pooled.sender, transaction.to, transaction.nonce, transaction.value)


def _receipt(header: Header, pooled: Pooled, effect: Effect, base_fee_wei: int, logs: Sequence[Log]) -> Receipt:
    return Receipt(
        transaction_hash=pooled.hash,
        block_hash=header.hash,
        block_number=header.number,
        succeeded=not effect.reverted,
        gas_used=effect.gas_used,
        effective_gas_price_wei=base_fee_wei + tip_wei(pooled, base_fee_wei),
        logs=tuple(log for log in logs if log.transaction_hash == pooled.hash),
    )


def _log(header: Header, index: int, transaction_hash: Hash, event: Event) -> Log:
    return Log(header.hash, transaction_hash, index, event.emitter, event.topics, event.data)
