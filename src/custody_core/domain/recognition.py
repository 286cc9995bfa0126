"""Knowing our own signature again where the books have lost it.

Books that were restored from a backup may hold a transaction without the attempt that was mined. The chain has that attempt's
bytes, and they prove themselves: only who has the wallet's key could make them, and they hash to what the block names.

Rules of this file

1. Found bytes are an attempt of a transaction when they are, field by field, the payment or the cancellation that the transaction
   would be at its nonce. Fees may differ, as they do among attempts.
2. What costs more than was held is not taken for ours: the hold could not pay for it.
3. An attempt that was found is never signed or planned again; it may be sent again as it is.
4. At which nonce bytes are, they say themselves. A node that names another one has made it up.
"""

from __future__ import annotations

from datetime import datetime

from custody_core.domain.addresses import address_to_bytes
from custody_core.domain.chain import Hash
from custody_core.domain.encoding import (
    FeeMarketTransaction,
    MalformedSignature,
    MalformedTransaction,
    decode_signed,
    transaction_hash,
)
from custody_core.domain.fees import Fees
from custody_core.domain.transaction import Attempt, AttemptKind, AttemptState, Transaction


def kind_of(unsigned: FeeMarketTransaction, transaction: Transaction) -> AttemptKind | None:
    """Which kind of attempt of `transaction` these fields are, None where they are neither kind."""
    if (unsigned.chain_id, unsigned.nonce) != (transaction.chain_id, transaction.nonce):
        return None
    said = (unsigned.to, unsigned.value, unsigned.data, unsigned.access_list)
    to = address_to_bytes(transaction.call_to)
    if said == (to, transaction.call_value_wei, transaction.call_data, transaction.access_list):
        return AttemptKind.PAYMENT
    if said == (address_to_bytes(transaction.sender), 0, b"", ()):
        return AttemptKind.CANCELLATION
    return None


def is_at_another_nonce(raw: bytes, nonce: int) -> bool:
    """Whether signed bytes are at another nonce than that. Of bytes that are no transaction nobody can tell."""
    unsigned = _unsigned(raw)
    return unsigned is not None and unsigned.nonce != nonce


def recognise(transaction: Transaction, raw: bytes, *, attempt_id: str, now: datetime) -> Attempt | None:
    """The attempt of `transaction` that `raw` is, None where it is none of its attempts."""
    unsigned = _unsigned(raw)
    if unsigned is None:
        return None
    kind = kind_of(unsigned, transaction)
    if kind is None or unsigned.max_fee_per_gas > transaction.fee_cap_wei(kind) or unsigned.gas_limit > transaction.gas_limit:
        return None
    return Attempt(
        id=attempt_id,
        kind=kind,
        fees=Fees(max_fee_per_gas_wei=unsigned.max_fee_per_gas, max_priority_fee_per_gas_wei=unsigned.max_priority_fee_per_gas),
        planned_at=now,
        state=AttemptState.FOUND,
        raw=raw,
        hash=Hash("0x" + transaction_hash(raw).hex()),
        first_sent_at=now,
    )


def _unsigned(raw: bytes) -> FeeMarketTransaction | None:
    """What was signed, None of bytes that are no transaction."""
    try:
        unsigned, *_ = decode_signed(raw)
    except (MalformedTransaction, MalformedSignature):
        return None
    return unsigned
