"""Sends: their states, their holds, their nonces, and what the chain says became of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from custody_core.domain.transaction import Transaction
from tests.unit.simulation.attempts import require_attempts
from tests.unit.simulation.failures import require
from tests.unit.simulation.judges.books import Books
from tests.unit.simulation.judges.scene import Scene

# What may follow what, written down a second time: the core's own table does not judge itself.
NEXT: Final[Mapping[str, frozenset[str]]] = {
    "pending_approval": frozenset({"queued", "rejected", "cancelled", "expired"}),
    "queued": frozenset({"pending_signature", "rejected", "failed", "cancelled"}),
    "pending_signature": frozenset({"broadcasting", "failed"}),
    "broadcasting": frozenset({"confirming", "failed"}),
    "confirming": frozenset({"broadcasting", "completed", "reverted", "cancelled"}),
}


class Sends:
    """Judges the rows of sends, and what is sent for them."""

    def __init__(self, scene: Scene, books: Books) -> None:
        self._scene = scene
        self._books = books
        self._next: dict[str, int] = defaultdict(int)
        self._mined: dict[str, str] = {}
        self._later: list[Callable[[], None]] = []

    def require_row(self, id_: str, old: Transaction | None, new: Transaction | None) -> None:
        """A row that a unit changes. What the chain has to say of it is asked in `require_settled`."""
        require(new is not None, "append-only", f"{id_} was deleted")
        assert new is not None
        require(old is None or not old.is_final, "INV-11", f"{id_} is {old and old.state} and changes")
        require_attempts(old, new)
        if new.is_final:
            self._ends(new)
        else:
            held, may_cost = self._books.reserved(id_), _may_cost(new)
            require(held == may_cost, "INV-4", f"{id_} holds {held} and may cost {may_cost}")

    def require_step(self, id_: str, old: Transaction | None, new: Transaction | None) -> None:
        """One change of a row; a unit may make several."""
        if old is not None and new is not None and old.state != new.state:
            require(str(new.state) in NEXT.get(old.state, ()), "lifecycle", f"{id_} goes from {old.state} to {new.state}")

    def require_settled(self) -> None:
        """What came to its end in this unit did so on the chain, whose final block is known now."""
        while self._later:
            self._later.pop()()

    def require_nonce(self, key: tuple[int, str, int], old: str | None, new: str | None) -> None:
        """INV-9: nonces are reserved in their order, each once."""
        _, sender, nonce = key
        require(old is None and new is not None, "INV-9", f"nonce {nonce} of {sender} changes hands")
        foreign = {used for address, used in self._scene.oracle.foreign.values() if "0x" + address.hex() == sender.lower()}
        passed_over = set(range(self._next[sender], nonce)) - foreign
        in_order = nonce >= self._next[sender] and not passed_over
        require(in_order, "INV-9", f"{sender} reserves {nonce} after {self._next[sender] - 1}")
        self._next[sender] = nonce + 1

    def require_known(self, first: int, last: int) -> None:
        """INV-7: what managed addresses signed in blocks that are final now are attempts of ours, one for each send."""
        scene = self._scene
        for height, hash_, nonce in scene.oracle.sent(first, last, scene.managed):
            if hash_ in scene.oracle.foreign:
                continue
            id_ = scene.tables.transaction_by_hash.get((scene.chain_id, hash_))  # type: ignore[arg-type]
            require(id_ is not None, "INV-16", f"{hash_} in block {height} was signed with a managed key and is nobody's attempt")
            assert id_ is not None
            other = self._mined.setdefault(id_, hash_)
            require(other == hash_, "INV-7", f"{id_} was mined as {other} and as {hash_}")
            require(scene.tables.transactions.rows[id_].nonce == nonce, "INV-9", f"{id_} was mined at nonce {nonce}")

    def broadcasting(self, raws: Sequence[bytes], hash_of: Callable[[bytes], str]) -> None:
        """INV-10: what leaves was committed before."""
        tables = self._scene.tables
        for raw in raws:
            of = tables.transaction_by_hash.get((self._scene.chain_id, hash_of(raw)))  # type: ignore[arg-type]
            row = tables.transactions.get(of) if of else None
            kept = row is not None and any(attempt.raw == raw for attempt in row.attempts)
            require(kept, "INV-10", f"{hash_of(raw)} leaves before its bytes are committed")

    def _ends(self, new: Transaction) -> None:
        held = self._books.reserved(new.id)
        require(not held, "INV-4", f"{new.id} is {new.state} and still holds {held}")
        signed = {attempt.hash for attempt in new.attempts if attempt.hash}
        self._later.append(lambda: self._require_mined_once(new.id, [str(hash_) for hash_ in signed]))
        if new.nonce is None:
            require(not signed, "INV-11", f"{new.id} is {new.state} without a nonce and was signed")
        elif str(new.state) == "failed":
            self._later.append(lambda: self._require_taken(new))
        else:
            self._later.append(lambda: self._require_mined(new, str(new.state)))

    def _require_mined_once(self, id_: str, hashes: Sequence[str]) -> None:
        mined = self._scene.oracle.mined(hashes)
        require(len(mined) <= 1, "INV-7", f"{id_} was mined {len(mined)} times: {sorted(mined)}")

    def _require_mined(self, new: Transaction, state: str) -> None:
        assert new.inclusion is not None
        oracle = self._scene.oracle
        attempt = next(each for each in new.attempts if each.id == new.inclusion.attempt_id)
        height = oracle.mined([str(attempt.hash)]).get(str(attempt.hash))
        is_final = height is not None and height <= self._scene.final
        require(is_final, "INV-11", f"{new.id} is {state}, and {attempt.hash} is not final")
        assert height is not None
        succeeded, fee_wei = oracle.fee(str(attempt.hash), height)
        if succeeded and new.asset.contract is not None:
            sender, to = bytes.fromhex(new.sender[2:]), bytes.fromhex(new.to[2:])
            succeeded = oracle.moved(str(attempt.hash), height, new.asset.contract.lower(), sender, to)
        expected = "cancelled" if str(attempt.kind) == "cancellation" else "completed" if succeeded else "reverted"
        require(state == expected, "INV-11", f"{new.id} is {state}, and was {expected} on the chain")
        require(new.inclusion.fee_wei == fee_wei, "INV-1", f"{new.id} cost {fee_wei}, the books say {new.inclusion.fee_wei}")

    def _require_taken(self, new: Transaction) -> None:
        user = self._scene.oracle.who_used(bytes.fromhex(new.sender[2:]), new.nonce or 0, self._scene.final)
        taken = user is not None and user not in {attempt.hash for attempt in new.attempts}
        require(taken, "INV-11", f"{new.id} failed, and nonce {new.nonce} is {user or 'free'}")


def _may_cost(of: Transaction) -> dict[str, int]:
    """What a send may cost at most, by asset: its amount, and its gas at the dearest price that its owner allowed."""
    dearest = max(of.fee_per_gas_max_wei, of.cancel_fee_per_gas_max_wei or 0)
    costs: dict[str, int] = defaultdict(int)
    costs["eth"] += of.gas_limit * dearest
    costs[of.asset.key] += of.amount
    return {asset: cost for asset, cost in costs.items() if cost}
