"""JSON-RPC's values as ours.

Rules of this file

1. A quantity is `0x` and hex digits; nothing else is a number, and what is not a number is never 0.
2. Data has an even number of digits and, where the protocol gives one, an exact length.
3. A field that we need and do not get makes the whole value malformed. Fields that we do not need are not even read.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

from custody_core.domain.chain import BlockTransaction, Hash, Header, Log, Receipt
from custody_core.domain.encoding import (
    U256_MAX,
    FeeMarketTransaction,
    MalformedSignature,
    MalformedTransaction,
    serialize_signed,
)
from custody_core.domain.fees import TIER_PERCENTILES, FeeHistory

BLOOM_LENGTH: Final = 256
FEE_MARKET_TYPE: Final = 2
TIMESTAMP_MAX_S: Final = 253_402_300_799  # the last second of the year 9999


class Malformed(ValueError):
    """A value is not what the Ethereum JSON-RPC specification makes it."""


class WireHeader(msgspec.Struct, rename="camel"):
    """A block without a need for its transactions."""

    number: str
    hash: str
    parent_hash: str
    timestamp: str
    logs_bloom: str | None = None


class WireTransaction(msgspec.Struct, rename="camel", gc=False):
    """A transaction within a full block."""

    hash: str
    sender: str = msgspec.field(name="from")
    nonce: str
    value: str
    to: str | None = None


class WireBlock(WireHeader, rename="camel", kw_only=True):
    """A full block."""

    transactions: list[WireTransaction]


class WireLog(msgspec.Struct, rename="camel", gc=False):
    """A log of a mined transaction."""

    block_hash: str
    transaction_hash: str
    log_index: str
    address: str
    topics: tuple[str, ...]
    data: str
    removed: bool | None = None


class WireReceipt(msgspec.Struct, rename="camel"):
    """A receipt since Byzantium (status) and London (effective gas price)."""

    transaction_hash: str
    block_hash: str
    block_number: str
    status: str
    gas_used: str
    effective_gas_price: str
    logs: list[WireLog]


class WireAccess(msgspec.Struct, rename="camel"):
    """An entry of an access list (EIP-2930)."""

    address: str
    storage_keys: list[str]


class WireSigned(msgspec.Struct, rename="camel"):
    """A transaction with its signature; what other types than EIP-1559's lack is None."""

    nonce: str
    gas: str
    value: str
    input: str
    r: str
    s: str
    type: str = "0x0"
    to: str | None = None
    chain_id: str | None = None
    max_priority_fee_per_gas: str | None = None
    max_fee_per_gas: str | None = None
    access_list: list[WireAccess] | None = None
    y_parity: str | None = None
    v: str | None = None


class WireFeeHistory(msgspec.Struct, rename="camel"):
    """The answer of `eth_feeHistory`. Nodes leave `reward` out, or null, where they have no blocks to look at."""

    base_fee_per_gas: list[str]
    reward: list[list[str]] | None = None


def quantity(text: str, *, maximum: int = U256_MAX) -> int:
    """The number. Python's own `int` would take signs, blanks, underscores and other scripts' digits."""
    if text[:2] != "0x" or not text.isascii() or not text.isalnum():
        raise Malformed("a quantity is 0x and hexadecimal digits")
    try:
        number = int(text, 16)
    except ValueError:
        raise Malformed("a quantity is 0x and hexadecimal digits") from None
    if number > maximum:
        raise Malformed("a quantity is too large")
    return number


def data(text: str, length: int | None = None) -> bytes:
    """The bytes, exactly `length` of them where one is given."""
    try:
        raw = bytes.fromhex(text[2:])
    except ValueError:
        raise Malformed("data is 0x and pairs of hexadecimal digits") from None
    # The second test also refuses blanks, which `fromhex` skips.
    if text[:2] != "0x" or 2 * len(raw) + 2 != len(text) or (length is not None and len(raw) != length):
        raise Malformed("data has another form or length than it must have")
    return raw


def hash_(text: str) -> Hash:
    """A 32-byte hash."""
    data(text, 32)
    return Hash(text.lower())


def header_of(fields: Mapping[str, object]) -> WireHeader:
    """The header of a block whose fields were all read."""
    number, hash_text, parent_hash, timestamp, bloom = (
        fields.get(name) for name in ("number", "hash", "parentHash", "timestamp", "logsBloom")
    )
    if not (isinstance(number, str) and isinstance(hash_text, str) and isinstance(parent_hash, str) and isinstance(timestamp, str)):
        raise Malformed("a block has a number, a hash, a parent and a time")
    if not isinstance(bloom, str | None):
        raise Malformed("a logs bloom is data")
    return WireHeader(number, hash_text, parent_hash, timestamp, bloom)


def header(wire: WireHeader) -> Header:
    """The header of a block that is in the chain (a pending one has no hash)."""
    return Header(
        number=quantity(wire.number),
        hash=hash_(wire.hash),
        parent_hash=hash_(wire.parent_hash),
        timestamp=datetime.fromtimestamp(quantity(wire.timestamp, maximum=TIMESTAMP_MAX_S), UTC),
        logs_bloom=None if wire.logs_bloom is None else data(wire.logs_bloom, BLOOM_LENGTH),
    )


def transaction(wire: WireTransaction) -> BlockTransaction:
    """A transaction of a block."""
    return BlockTransaction(
        hash=hash_(wire.hash),
        sender=data(wire.sender, 20),
        recipient=None if wire.to is None else data(wire.to, 20),
        nonce=quantity(wire.nonce),
        value=quantity(wire.value),
    )


def log(wire: WireLog) -> Log:
    """The log."""
    if wire.removed:
        raise Malformed("a log of a canonical block is not removed")
    return Log(
        block_hash=hash_(wire.block_hash),
        transaction_hash=hash_(wire.transaction_hash),
        log_index=quantity(wire.log_index),
        emitter=data(wire.address, 20),
        topics=tuple(data(topic, 32) for topic in wire.topics),
        data=data(wire.data),
    )


def receipt(wire: WireReceipt) -> Receipt:
    """The receipt."""
    status = quantity(wire.status)
    if status not in {0, 1}:
        raise Malformed("a receipt's status is 0 or 1 (EIP-658)")
    transaction_hash, block_hash = hash_(wire.transaction_hash), hash_(wire.block_hash)
    logs = tuple(log(each) for each in wire.logs)
    if any((each.transaction_hash, each.block_hash) != (transaction_hash, block_hash) for each in logs):
        raise Malformed("a receipt's logs are of its own transaction and block")
    return Receipt(
        transaction_hash=transaction_hash,
        block_hash=block_hash,
        block_number=quantity(wire.block_number),
        succeeded=status == 1,
        gas_used=quantity(wire.gas_used),
        effective_gas_price_wei=quantity(wire.effective_gas_price),
        logs=logs,
    )


def signed(wire: WireSigned) -> bytes | None:
    """The bytes that were signed and sent, None for another type than EIP-1559's, or where a contract is created."""
    chain_id, tip, fee, y_parity = wire.chain_id, wire.max_priority_fee_per_gas, wire.max_fee_per_gas, wire.y_parity or wire.v
    if quantity(wire.type) != FEE_MARKET_TYPE or wire.to is None:
        return None
    if chain_id is None or tip is None or fee is None or y_parity is None:
        raise Malformed("an EIP-1559 transaction has a chain id, two fees and a parity")
    try:
        unsigned = FeeMarketTransaction(
            chain_id=quantity(chain_id),
            nonce=quantity(wire.nonce),
            max_priority_fee_per_gas=quantity(tip),
            max_fee_per_gas=quantity(fee),
            gas_limit=quantity(wire.gas),
            to=data(wire.to, 20),
            value=quantity(wire.value),
            data=data(wire.input),
            access_list=tuple(
                (data(each.address, 20), tuple(data(key, 32) for key in each.storage_keys)) for each in wire.access_list or ()
            ),
        )
        return serialize_signed(unsigned, quantity(y_parity), quantity(wire.r), quantity(wire.s))
    except (MalformedTransaction, MalformedSignature) as problem:
        raise Malformed(str(problem)) from None


def fee_history(wire: WireFeeHistory) -> FeeHistory:
    """The fee history; without rewards it has no tips."""
    if not wire.base_fee_per_gas:
        raise Malformed("a fee history ends with the next block's base fee")
    tips = [tuple(quantity(tip) for tip in block_tips) for block_tips in wire.reward or ()]
    if any(len(block_tips) != len(TIER_PERCENTILES) for block_tips in tips):
        raise Malformed("a fee history has one tip per percentile")
    return FeeHistory(quantity(wire.base_fee_per_gas[-1]), tips)
