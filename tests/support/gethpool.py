"""geth's transaction pool in front of anvil, which is more lenient, forgets more, and words things otherwise.

What it does as geth does:
* a replacement needs 10 % more of both fees; the same bytes again are "already known"; a transaction without a chain id is refused;
* a fee cap below the base fee is accepted and stays pending until a block is cheap enough;
* what leaves the chain in a reorganisation of up to 64 blocks comes back into the pool, and nothing pooled is lost when fees rise;
* a nonce that is not the next one waits in the account's queue of 64; of more than that the highest nonces vanish, unannounced;
* `crowded`: with the whole pool full, an account keeps only 16 transactions that could be mined; the last ones vanish likewise.

What it does not: it knows only what came through it, weighs no account against another, lets nothing grow old, and checks the funds
of a transaction that waits (for a lower base fee, for the nonce before it) only when its turn has come. It looks at the chain when
it is asked something.
"""

import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import attrs
import rlp
from eth_account import Account
from eth_utils.crypto import keccak

Reply: TypeAlias = dict[str, Any]
Ask: TypeAlias = Callable[..., Any]
"""Asks the node: `ask(method, *params)` gives the whole reply object."""

Place: TypeAlias = tuple[str, int]
"""A sender and a nonce: the pool holds one transaction for each."""

PRICE_BUMP_PERCENT = 10
ACCOUNT_SLOTS = 16
ACCOUNT_QUEUE = 64
REORG_DEPTH_MAX = 64
SERVER_ERROR = -32000
FEE_CAP_TOO_LOW = "max fee per gas less than block base fee"

GETH_WORDS = {
    "transaction already imported": "already known",
    "Insufficient funds for gas * price + value": "insufficient funds for gas * price + value",
    "nonce too low": "nonce too low",
    "invalid chain id for signer": "invalid sender",
    "intrinsic gas too low": "intrinsic gas too low",
}
MAY_BE_MINED = {"transaction already imported", "nonce too low"}
"""What anvil says to a transaction that is in a block, or still in its pool."""


@attrs.frozen
class Pooled:
    """A transaction as far as the pool looks at it; fees in wei per gas."""

    raw: str
    transaction_hash: str
    sender: str
    nonce: int
    tip_max: int
    fee_max: int

    @property
    def place(self) -> Place:
        return self.sender, self.nonce

    def shown(self) -> dict[str, Any]:
        """As a pending transaction of eth_getTransactionByHash, as far as anybody here asks."""
        fields = {"nonce": self.nonce, "maxFeePerGas": self.fee_max, "maxPriorityFeePerGas": self.tip_max}
        numbers = {name: hex(value) for name, value in fields.items()}
        return {"hash": self.transaction_hash, "from": self.sender, "blockHash": None, "blockNumber": None, **numbers}


def fields_of(signed: bytes) -> tuple[bytes, bytes, bytes, bytes | None]:
    """Nonce, tip cap, fee cap, and the v of a legacy transaction."""
    match signed[:1]:
        case b"\x02":
            _, nonce, tip_max, fee_max, *_ = rlp.decode(signed[1:])
            return nonce, tip_max, fee_max, None
        case b"\x01":
            _, nonce, price, *_ = rlp.decode(signed[1:])
            return nonce, price, price, None
        case _:
            nonce, price, _, _, _, _, v, _, _ = rlp.decode(signed)
            return nonce, price, price, v


def parse(signed_hex: str) -> tuple[Pooled, bool] | None:
    """Reads a transaction, and whether it could be replayed on another chain; None for what the node may refuse in its own way."""
    try:
        signed = bytes.fromhex(signed_hex.removeprefix("0x"))
        nonce, tip_max, fee_max, v = fields_of(signed)
        sender = str(Account.recover_transaction(signed)).lower()
    except (rlp.exceptions.RLPException, ValueError, TypeError):
        return None
    number = int.from_bytes
    pooled = Pooled(signed_hex, "0x" + keccak(signed).hex(), sender, number(nonce), number(tip_max), number(fee_max))
    return pooled, v is not None and number(v) in {27, 28}


def is_underpriced(new: Pooled, old: Pooled) -> bool:
    """The replacement rule: both fields must be dearer, and reach 110 % of the old one, the fraction of a wei cut off."""

    def too_low(new_wei: int, old_wei: int) -> bool:
        return new_wei <= old_wei or new_wei < old_wei * (100 + PRICE_BUMP_PERCENT) // 100

    return too_low(new.fee_max, old.fee_max) or too_low(new.tip_max, old.tip_max)


class GethPool:
    """What stands between a FaultProxy and its anvil. `dropped` lists the hashes that vanished without a word."""

    def __init__(self, *, crowded: bool = False) -> None:
        self.dropped: list[str] = []
        self._crowded = crowded
        self._lock = threading.RLock()
        self._pooled: dict[Place, Pooled] = {}
        self._waiting: set[str] = set()
        """Hashes that anvil does not have: they are below the base fee, or beyond a gap."""
        self._mined: dict[Place, int] = {}
        self._head: tuple[int, str] | None = None

    def answer(self, method: str, params: list[Any], ask: Ask) -> Reply:
        """As geth would."""
        if method == "eth_sendRawTransaction":
            with self._lock:
                self._settle(ask)
                return self._send(params[0], ask)
        with self._lock:
            self._settle(ask)
        reply: Reply = ask(method, *params)
        if method == "eth_getTransactionByHash" and "result" in reply and reply["result"] is None:
            return {"result": self._shown(params[0])}
        if method == "eth_getTransactionCount" and params[1:] == ["pending"] and "result" in reply:
            return {"result": hex(self._next_nonce(params[0].lower(), int(reply["result"], 16)))}
        return reply

    def drop(self, transaction_hash: str, ask: Ask) -> None:
        """Loses a transaction, as a pool does for reasons of its own."""
        with self._lock:
            self._forget(transaction_hash)
            ask("anvil_dropTransaction", transaction_hash)

    # Taking one in

    def _send(self, signed_hex: str, ask: Ask) -> Reply:
        parsed = parse(signed_hex)
        if parsed is None:
            return in_geth_words(ask("eth_sendRawTransaction", signed_hex))
        new, is_replayable = parsed
        if is_replayable:
            return refusal("only replay-protected (EIP-155) transactions allowed over RPC")
        old = self._pooled.get(new.place)
        if old and new.place not in self._mined:
            if old.transaction_hash == new.transaction_hash:
                return refusal("already known")
            if is_underpriced(new, old):
                return refusal("replacement transaction underpriced")
        reply = self._offer(new, ask)
        if "result" in reply:
            if old:
                self._forget(old.transaction_hash)
            self._pooled[new.place] = new
            self._offer_waiting(ask)
            self._make_room(new.sender, ask)
        return reply

    def _offer(self, transaction: Pooled, ask: Ask) -> Reply:
        """Gives it to anvil, or has it wait while there is a gap before it or anvil finds it too cheap."""
        is_gapped = transaction.nonce > int(ask("eth_getTransactionCount", transaction.sender, "pending")["result"], 16)
        reply: Reply = {} if is_gapped else ask("eth_sendRawTransaction", transaction.raw)
        if is_gapped or ("error" in reply and reply["error"]["message"] == FEE_CAP_TOO_LOW):
            self._waiting.add(transaction.transaction_hash)
            return {"result": transaction.transaction_hash}
        self._waiting.discard(transaction.transaction_hash)
        return in_geth_words(reply)

    def _make_room(self, sender: str, ask: Ask) -> None:
        """Drops the highest nonces of what is too much for one account."""
        next_nonce = int(ask("eth_getTransactionCount", sender, "latest")["result"], 16)
        nonces = sorted(nonce for owner, nonce in self._pooled if owner == sender and nonce >= next_nonce)
        ready = [nonce for index, nonce in enumerate(nonces) if nonce == next_nonce + index]
        queued = nonces[len(ready) :]
        for nonce in queued[ACCOUNT_QUEUE:] + (ready[ACCOUNT_SLOTS:] if self._crowded else []):
            lost = self._pooled[sender, nonce].transaction_hash
            self.dropped.append(lost)
            self.drop(lost, ask)

    def _forget(self, transaction_hash: str) -> None:
        self._waiting.discard(transaction_hash)
        for place in [place for place, each in self._pooled.items() if each.transaction_hash == transaction_hash]:
            del self._pooled[place]
            self._mined.pop(place, None)

    # Following the chain

    def _settle(self, ask: Ask) -> None:
        """Sees what was mined and what came back, and offers again what anvil does not have."""
        if not self._pooled:
            return
        block = ask("eth_getBlockByNumber", "latest", False)["result"]
        head = (int(block["number"], 16), block["hash"])
        if head == self._head:
            self._offer_waiting(ask)
            return
        first = max(0, head[0] - REORG_DEPTH_MAX) if self._head is None else self._head[0] + 1
        if self._is_reorged(ask):
            self._mined.clear()
            first = max(0, head[0] - REORG_DEPTH_MAX)
        self._head = head
        self._note_mined(range(first, head[0] + 1), ask)
        unmined = [each for place, each in self._pooled.items() if place not in self._mined]
        in_node = hashes_in_pool(ask) if unmined else set()
        for transaction in sorted(unmined, key=lambda each: each.nonce):
            if transaction.transaction_hash not in in_node:
                self._offer_again(transaction, ask)

    def _offer_waiting(self, ask: Ask) -> None:
        waiting = [each for each in self._pooled.values() if each.transaction_hash in self._waiting]
        for sender in {each.sender for each in waiting}:
            for transaction in sorted((each for each in waiting if each.sender == sender), key=lambda each: each.nonce):
                self._offer_again(transaction, ask)
                if transaction.transaction_hash in self._waiting:
                    break  # those after it wait for it

    def _is_reorged(self, ask: Ask) -> bool:
        if self._head is None:
            return False
        found = ask("eth_getBlockByNumber", hex(self._head[0]), False)["result"]
        return found is None or found["hash"] != self._head[1]

    def _note_mined(self, numbers: Iterable[int], ask: Ask) -> None:
        places = {each.transaction_hash: place for place, each in self._pooled.items()}
        for number in numbers:
            block = ask("eth_getBlockByNumber", hex(number), False)["result"]
            for place in {places[hash_] for hash_ in (block or {}).get("transactions", ()) if hash_ in places}:
                self._mined[place] = number
        assert self._head is not None
        for place in [place for place, number in self._mined.items() if number + REORG_DEPTH_MAX < self._head[0]]:
            del self._mined[place], self._pooled[place]

    def _offer_again(self, transaction: Pooled, ask: Ask) -> None:
        if (
            transaction.transaction_hash not in self._waiting
            and ask("eth_getTransactionByHash", transaction.transaction_hash)["result"]
        ):
            return
        reply = self._offer(transaction, ask)
        if "error" in reply and reply["error"]["message"] not in {GETH_WORDS[words] for words in MAY_BE_MINED}:
            self._forget(transaction.transaction_hash)

    # Telling

    def _shown(self, transaction_hash: str) -> dict[str, Any] | None:
        with self._lock:
            found = (each for each in self._pooled.values() if each.transaction_hash == transaction_hash.lower())
            waiting = next((each for each in found if each.transaction_hash in self._waiting), None)
        return waiting.shown() if waiting else None

    def _next_nonce(self, sender: str, known: int) -> int:
        """`known` is anvil's count, which stops at the first transaction that waits here."""
        with self._lock:
            while (sender, known) in self._pooled:
                known += 1
        return known


def hashes_in_pool(ask: Ask) -> set[str]:
    """What the node itself has in its pool."""
    pool: dict[str, dict[str, dict[str, Any]]] = ask("txpool_content")["result"]
    return {each["hash"] for accounts in pool.values() for nonces in accounts.values() for each in nonces.values()}


def refusal(message: str) -> Reply:
    return {"error": {"code": SERVER_ERROR, "message": message}}


def in_geth_words(reply: Reply) -> Reply:
    error = reply.get("error")
    if error is None or error["message"] not in GETH_WORDS:
        return reply
    return refusal(GETH_WORDS[error["message"]])
