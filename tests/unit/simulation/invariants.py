"""The promises that are checked at every commit, every signature and every broadcast, on the rows that were touched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

from custody_core import Limits
from custody_core.domain.transaction import Transaction
from custody_core.domain.wallet import SealedKey
from custody_core.ports import SignedTransaction
from custody_memory.tables import Tables
from tests.unit.simulation.failures import require
from tests.unit.simulation.journal import Changed
from tests.unit.simulation.judges.arrivals import Arrivals
from tests.unit.simulation.judges.audit import require_told
from tests.unit.simulation.judges.books import Books, Holding
from tests.unit.simulation.judges.events import require_events
from tests.unit.simulation.judges.recount import Recount
from tests.unit.simulation.judges.scene import Scene
from tests.unit.simulation.judges.sends import Sends
from tests.unit.simulation.judges.signatures import Signatures
from tests.unit.simulation.lies import Lies
from tests.unit.simulation.oracle import Oracle


class Invariants:
    """Asks each judge of what it knows. `lies` is what nodes made up so far."""

    def __init__(self, oracle: Oracle, limits: Limits, lies: Lies) -> None:
        self.scene = Scene(oracle)
        self.books = Books(self.scene)
        self.sends = Sends(self.scene, self.books)
        self.signatures = Signatures(self.scene, self.books)
        self.arrivals = Arrivals(self.scene, self.books, limits, lies)
        self._recount = Recount(oracle, lambda: self.arrivals.missed, self.arrivals.differs)
        self._rules: dict[str, Callable[[Any, Any, Any], None]] = {
            "balances": self.books.require_balance,
            "transactions": self.sends.require_row,
            "transaction_by_nonce": self.sends.require_nonce,
            "deposits": self.arrivals.require_deposit,
            "headers": self.arrivals.require_header,
            "wallet_by_address": self._wallet,
            "tokens": lambda id_, _old, _new: self.scene.changed("tokens", id_),
            "users": lambda id_, _old, _new: self.scene.changed("users", id_),
            "idempotency": _require_kept,
            "decisions": _require_kept,
            "policies": _require_kept,
        }

    def committed(self, tables: Tables, changed: Changed, meanwhile: range) -> None:
        """A unit is about to be committed; `meanwhile` are the commits since it began, by their numbers."""
        scene = self.scene
        scene.tables, scene.meanwhile = tables, meanwhile
        if scene.final:
            scene.oracle.follow(scene.final, scene.final_hash)
        before = self._first(changed)
        touched = self.books.post(tables.groups._new)
        for (table, key), old in before.items():
            if (rule := self._rules.get(table)) is not None:
                rule(key, old, getattr(tables, table).rows.get(key))
        require_told(tables, changed)
        require_events(tables, changed)
        self.signatures.committed(before)
        final = self.arrivals.arrive(before)
        self.sends.require_known(final.start, final.stop - 1)
        self.sends.require_settled()
        if scene.final:
            self.books.require_held(touched | self._touched(final), self.arrivals.differs)

    def signed(self, key: SealedKey, signed: SignedTransaction) -> None:
        """Bytes were signed."""
        self.signatures.require(key, signed)

    def broadcasting(self, raws: Sequence[bytes], hash_of: Callable[[bytes], str]) -> None:
        """Bytes are about to leave."""
        self.sends.broadcasting(raws, hash_of)

    def require_late_books(self) -> None:
        """INV-1 of tokens that do not move as they say, and of what was found late, after they were compared."""
        missed = self.arrivals.missed
        require(not missed, "INV-3", f"not found: {missed}")
        self.books.require_held(self.books.holdings())

    def recount(self, tables: Tables) -> None:
        """Everything that is committed, from the first row and the first block on."""
        self._recount.require(tables)

    def marks(self) -> dict[object, dict[str, Any]]:
        """What the judges remember, for `go_back`."""
        return {
            judge: {name: deepcopy(value) for name, value in vars(judge).items() if isinstance(value, (dict, set, int, str))}
            for judge in (self.scene, self.books, self.sends, self.signatures, self.arrivals)
        }

    def go_back(self, marks: dict[object, dict[str, Any]]) -> None:
        """They remember what they did then: the books were restored from a backup."""
        for judge, remembered in marks.items():
            vars(judge).update(deepcopy(remembered))

    def _first(self, changed: Changed) -> dict[tuple[str, Any], Any]:
        """Each row as it was before the unit; every step of a send is looked at on the way."""
        before: dict[tuple[str, Any], Any] = {}
        latest: dict[str, Transaction | None] = {}
        for table, key, old in changed:
            if table == "transactions":
                if key in latest:
                    self.sends.require_step(key, latest[key], old)
                latest[key] = old
            before.setdefault((table, key), old)
        for id_, state in latest.items():
            self.sends.require_step(id_, state, self.scene.tables.transactions.rows.get(id_))
        return before

    def _touched(self, final: range) -> set[Holding]:
        """What may have changed in blocks that are final now."""
        scene = self.scene
        if not final:
            return set()
        wallets = {scene.managed[each] for each in scene.oracle.touched(final[0], final[-1]) if each in scene.managed}
        assets = ["eth", *("0x" + token.hex() for token in scene.oracle.tokens)]
        return {(self.books.spelled(asset), wallet_id) for wallet_id in wallets for asset in assets}

    def _wallet(self, address: str, _old: str | None, new: str | None) -> None:
        if new is not None:
            self.scene.wallet_added(address, new)


def _require_kept(key: object, old: object, new: object) -> None:
    require(old is None and new is not None, "append-only", f"{key} changes")
