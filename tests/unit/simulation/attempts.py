"""What the attempts of one send have to be: the same payment every time, at one nonce, each dearer than those before.

The bytes are read with a codec that is not ours.
"""

from __future__ import annotations

from functools import lru_cache

import attrs
import rlp

from custody_core.domain.transaction import Attempt, Transaction
from tests.unit.simulation.failures import require

TRANSFER_SELECTOR = bytes.fromhex("a9059cbb")

_NEVER_CHANGES = (
    "wallet_id",
    "owner_id",
    "asset",
    "sender",
    "to",
    "amount",
    "gas_limit",
    "fee_per_gas_max_wei",
    "type",
    "data",
    "access_list",
    "created_at",
)


@attrs.frozen
class Signed:
    """The fields of an EIP-1559 transaction."""

    chain_id: int
    nonce: int
    tip_wei: int
    fee_max_wei: int
    gas_limit: int
    to: bytes
    value: int
    data: bytes
    access_list: tuple[tuple[bytes, tuple[bytes, ...]], ...]


def require_attempts(old: Transaction | None, new: Transaction) -> None:
    """INV-7, INV-9, INV-12, INV-13 for a row that changes from `old` to `new`."""
    if old is not None:
        same = all(getattr(old, name) == getattr(new, name) for name in _NEVER_CHANGES)
        require(same, "append-only", f"{new.id} becomes another send")
        require(old.nonce in {None, new.nonce}, "INV-9", f"{new.id} gives up nonce {old.nonce}")
        require(len(new.attempts) >= len(old.attempts), "append-only", f"{new.id} loses an attempt")
        for before, after in zip(old.attempts, new.attempts, strict=False):
            require(before.raw in {None, after.raw}, "append-only", f"{new.id}: the bytes of {before.id} change")
    known = {attempt.raw for attempt in old.attempts} if old else set()
    for index, attempt in enumerate(new.attempts):
        if attempt.raw is not None and attempt.raw not in known:
            _require_bytes(new, attempt, attempt.raw)
            _require_dearer(new, attempt, new.attempts[:index])


def _require_bytes(of: Transaction, attempt: Attempt, raw: bytes) -> None:
    signed = read(raw)
    require(signed.chain_id == of.asset.chain_id, "INV-13", f"{attempt.id} is for chain {signed.chain_id}")
    require(signed.nonce == of.nonce, "INV-9", f"{attempt.id} has nonce {signed.nonce}, its send {of.nonce}")
    require((signed.to, signed.value, signed.data) == _payment(of, attempt), "INV-7", f"{attempt.id} is another payment")
    listed = () if str(attempt.kind) == "cancellation" else of.access_list
    require(signed.access_list == listed, "INV-7", f"{attempt.id} has another access list")
    require(signed.tip_wei <= signed.fee_max_wei, "INV-12", f"the tip of {attempt.id} is above its maximum")
    cap = of.cancel_fee_per_gas_max_wei if str(attempt.kind) == "cancellation" else None
    dearest = signed.gas_limit * signed.fee_max_wei
    require(dearest <= of.gas_limit * max(cap or 0, of.fee_per_gas_max_wei), "INV-12", f"{attempt.id} may cost {dearest}")


def _payment(of: Transaction, attempt: Attempt) -> tuple[bytes, int, bytes]:
    if str(attempt.kind) == "cancellation":
        return bytes.fromhex(of.sender[2:]), 0, b""
    return payment(of.asset.contract, of.to, of.amount, of.data)


def payment(contract: str | None, to: str, amount: int, data: bytes) -> tuple[bytes, int, bytes]:
    """Recipient, value and data of a transaction that pays so much: ether, or the token of that contract."""
    recipient = bytes.fromhex(to[2:])
    if contract is None:
        return recipient, amount, data
    return bytes.fromhex(contract[2:]), 0, TRANSFER_SELECTOR + bytes(12) + recipient + amount.to_bytes(32, "big")


def _require_dearer(of: Transaction, attempt: Attempt, earlier: tuple[Attempt, ...]) -> None:
    """Both fields at least 12.5 % above every earlier attempt. What was found on the chain again was not planned here."""
    if str(attempt.state) == "found":
        return
    fees = attempt.fees
    for before in earlier:
        raised = 8 * fees.max_fee_per_gas_wei >= 9 * before.fees.max_fee_per_gas_wei
        raised = raised and 8 * fees.max_priority_fee_per_gas_wei >= 9 * before.fees.max_priority_fee_per_gas_wei
        require(raised or str(before.state) == "found", "INV-12", f"{of.id}: {attempt.id} does not outbid {before.id}")


@lru_cache(maxsize=4096)
def read(raw: bytes) -> Signed:
    """The fields of signed bytes (EIP-1559)."""
    require(raw[:1] == b"\x02", "INV-13", "the bytes are of another type")
    fields = rlp.decode(raw[1:])
    chain_id, nonce, tip_wei, fee_max_wei, gas_limit, value = (int.from_bytes(each, "big") for each in (*fields[:5], fields[6]))
    listed = tuple((bytes(address), tuple(bytes(key) for key in keys)) for address, keys in fields[8])
    return Signed(chain_id, nonce, tip_wei, fee_max_wei, gas_limit, bytes(fields[5]), value, bytes(fields[7]), listed)
