"""What arrives: each block stands on the one before it, and what final blocks paid is credited, once, and nothing else is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from custody_core.domain.chain import ChainState, Header
from custody_core.domain.deposit import Deposit
from tests.unit.simulation.failures import require
from tests.unit.simulation.judges.books import Holding
from tests.unit.simulation.judges.scene import Scene
from tests.unit.simulation.oracle import Movement

ARRIVED: Final = frozenset({"completed", "quarantined"})

Owed = Counter[tuple[int, Movement]]
"""Movements to managed addresses, each with the height of its block."""


class Arrivals:
    """Judges the rows of deposits, headers and the chain."""

    def __init__(self, scene: Scene, lies: Mapping[str, int]) -> None:
        self._scene = scene
        self._lies = lies
        self.missed: Owed = Counter()
        """What contracts paid in final blocks, and a node left out of its traces: in suspense until the blocks are read again."""
        self.late: set[Holding] = set()
        """What such wallets hold is compared when those blocks have been read again."""

    def require_deposit(self, id_: str, old: Deposit | None, new: Deposit | None) -> None:
        """INV-3 for a row."""
        require(new is not None, "append-only", f"{id_} was deleted")
        require(old is None or str(old.state) != "completed", "INV-3", f"{id_} was credited and changes")
        require(old is None or new is None or old.key == new.key, "INV-3", f"{id_} becomes another deposit")

    def require_header(self, key: tuple[int, int], _old: Header | None, new: Header | None) -> None:
        """INV-20 for a row."""
        chain_id, height = key
        below = self._scene.tables.headers.get((chain_id, height - 1))
        if new is not None and below is not None:
            require(new.parent_hash == below.hash, "INV-20", f"block {height} does not stand on the stored block {height - 1}")

    def arrive(self, before: Mapping[tuple[str, Any], Any]) -> range:
        """Heights that become final in this unit. INV-3, INV-20, INV-23."""
        for (table, _key), old in before.items():
            if table == "chains":
                return self._go_on(old, before)
        self._find(Counter(self._arrived(before)))
        return range(0)

    def _go_on(self, old: ChainState | None, before: Mapping[tuple[str, Any], Any]) -> range:
        """The chain's row changed: what became final with it was paid, and nothing else was credited."""
        scene, oracle = self._scene, self._scene.oracle
        (state,) = list(scene.tables.chains)
        first, last = (old.final.number + 1 if old else state.final.number + 1), state.final.number
        if old is not None:
            self._require_halted(old, state)
            require(oracle.follow(last, state.final.hash), "INV-20", f"block {last} {state.final.hash} is not final")
            require(last >= old.final.number, "INV-23", f"the final block goes back to {last}")
            stands = oracle.is_final(old.final.number, old.final.hash)
            require(
                stands, "INV-23", f"{last} {state.final.hash} is final, and does not stand on {old.final.number} {old.final.hash}"
            )
            require(last <= state.cursor.number, "INV-20", "the final block is above the newest one")
        scene.final, scene.final_hash = last, state.final.hash
        owed = oracle.owed(first, last, scene.managed)
        credited = Counter(self._arrived(before))
        missing, too_much = self._left_out(owed - credited), credited - owed
        require(not missing and not too_much, "INV-3", f"blocks {first} to {last}: owed {missing}, credited {too_much}")
        return range(first, last + 1)

    def _left_out(self, missing: Owed) -> Owed:
        """`missing` without what a node may have left out of its traces, which is remembered."""
        if not self._lies["traces-omitted"]:
            return missing
        left_out = Counter({each: count for each, count in missing.items() if each[1][1] == "internal"})
        self.missed += left_out
        self.late |= {("eth", self._scene.managed[movement[4]]) for _, movement in left_out}
        return missing - left_out

    def _find(self, found: Owed) -> None:
        """What arrives in blocks that were final before was missed in them."""
        require(not found - self.missed, "INV-3", f"credited {found - self.missed}, which was credited or never came")
        self.missed -= found

    def _require_halted(self, old: ChainState, new: ChainState) -> None:
        """While the chain is halted nothing about it changes; it is halted where a final block did, and somebody is told."""
        if old.halted_reason is not None:
            require((old.cursor, old.final) == (new.cursor, new.final), "INV-23", "the chain is halted and goes on")
        elif new.halted_reason is not None:
            require(self._scene.oracle.was_breached, "INV-23", f"halted, and every final block stands: {new.halted_reason}")
            alarms = {event.data.get("code") for event in self._scene.tables.unnumbered_events if event.type == "alarm.raised"}
            require("finality-breached" in alarms, "INV-23", "halted without an alarm")

    def _arrived(self, before: Mapping[tuple[str, Any], Any]) -> list[tuple[int, Movement]]:
        arrived: list[tuple[int, Movement]] = []
        for (table, key), old in before.items():
            new = self._scene.tables.deposits.get(key) if table == "deposits" else None
            if new is not None and str(new.state) in ARRIVED and (old is None or str(old.state) not in ARRIVED):
                require(self._scene.oracle.is_final(new.block.number, new.block.hash), "INV-3", f"{new.id} is of no final block")
                of = new.key
                sender, to = bytes.fromhex(of.sender[2:]), bytes.fromhex(of.to[2:])
                self._require_all_of_it(new, to)
                arrived.append((new.block.number, (of.transaction_hash, str(of.kind), of.asset.lower(), sender, to, of.amount)))
        return arrived

    def _require_all_of_it(self, new: Deposit, to: bytes) -> None:
        """A deposit of which less came than its event says is not its owner's, unless a node lied about what came."""
        oracle, token, height = self._scene.oracle, new.key.asset.lower(), new.block.number
        if token not in oracle.odd or oracle.was_rebased(token) or str(new.state) != "completed" or self._lies["node-lies"]:
            return
        require(not oracle.came_short(height, token, to), "INV-3", f"{new.id} came short in block {height} and is credited")
