"""geth's manners at the transaction pool's door, in front of anvil, which is more lenient and words things otherwise."""

import threading
from collections.abc import Callable
from typing import Any, TypeAlias

import attrs
import rlp
from eth_account import Account
from eth_utils.crypto import keccak

Reply: TypeAlias = dict[str, Any]
Ask: TypeAlias = Callable[..., Any]
"""Asks the node: `ask(method, *params)` gives the whole reply object."""

PRICE_BUMP_PERCENT = 10
SERVER_ERROR = -32000

GETH_WORDS = {
    "transaction already imported": "already known",
    "Insufficient funds for gas * price + value": "insufficient funds for gas * price + value",
    "nonce too low": "nonce too low",
    "invalid chain id for signer": "invalid sender",
    "intrinsic gas too low": "intrinsic gas too low",
}


@attrs.frozen
class Pooled:
    """A transaction as far as the pool's replacement rule looks at it; fees in wei per gas."""

    transaction_hash: str
    sender: str
    nonce: int
    tip_max: int
    fee_max: int


def parse(signed: bytes) -> Pooled | None:
    """Reads an EIP-1559 transaction; None for any other kind, which is left to the node."""
    if not signed.startswith(b"\x02"):
        return None
    try:
        _, nonce, tip_max, fee_max, *_ = rlp.decode(signed[1:])
        sender: str = Account.recover_transaction(signed)
    except (rlp.exceptions.RLPException, ValueError, TypeError):
        return None
    number = int.from_bytes
    return Pooled("0x" + keccak(signed).hex(), sender, number(nonce), number(tip_max), number(fee_max))


def is_underpriced(new: Pooled, old: Pooled) -> bool:
    """The replacement rule: both fields must be dearer, and reach 110 % of the old one, the fraction of a wei cut off."""

    def too_low(new_wei: int, old_wei: int) -> bool:
        return new_wei <= old_wei or new_wei < old_wei * (100 + PRICE_BUMP_PERCENT) // 100

    return too_low(new.fee_max, old.fee_max) or too_low(new.tip_max, old.tip_max)


class GethPool:
    """Answers eth_sendRawTransaction as geth would. It remembers only what it let through."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pooled: dict[tuple[str, int], Pooled] = {}

    def send_raw(self, signed_hex: str, ask: Ask) -> Reply:
        try:
            new = parse(bytes.fromhex(signed_hex.removeprefix("0x")))
        except ValueError:
            new = None
        if new is None:
            return in_geth_words(ask("eth_sendRawTransaction", signed_hex))
        with self._lock:
            old = self._pooled.get((new.sender, new.nonce))
            if old and is_pending(old, ask):
                if old.transaction_hash == new.transaction_hash:
                    return {"error": {"code": SERVER_ERROR, "message": "already known"}}
                if is_underpriced(new, old):
                    return {"error": {"code": SERVER_ERROR, "message": "replacement transaction underpriced"}}
            reply = in_geth_words(ask("eth_sendRawTransaction", signed_hex))
            if "result" in reply:
                self._pooled[new.sender, new.nonce] = new
            return reply


def is_pending(transaction: Pooled, ask: Ask) -> bool:
    found = ask("eth_getTransactionByHash", transaction.transaction_hash).get("result")
    return found is not None and found["blockNumber"] is None


def in_geth_words(reply: Reply) -> Reply:
    error = reply.get("error")
    if error is None or error["message"] not in GETH_WORDS:
        return reply
    return {"error": {"code": SERVER_ERROR, "message": GETH_WORDS[error["message"]]}}
