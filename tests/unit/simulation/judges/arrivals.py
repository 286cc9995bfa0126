"""What arrives: each block stands on the one before it, and what final blocks paid is credited, once, and nothing else is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from custody_core import Limits
from custody_core.domain.access import User
from custody_core.domain.chain import ChainState, Header
from custody_core.domain.deposit import Deposit
from custody_core.domain.tokens import Token
from tests.unit.simulation.failures import require
from tests.unit.simulation.judges.books import Books, Holding
from tests.unit.simulation.judges.scene import Scene
from tests.unit.simulation.lies import Lies
from tests.unit.simulation.oracle import Movement

ARRIVED: Final = frozenset({"completed", "quarantined"})

ANYTHING: Final = range(-(2**256), 2**256)

Owed = Counter[tuple[int, Movement]]
"""Movements to managed addresses, each with the height of its block."""


class Arrivals:
    """Judges the rows of deposits, headers and the chain."""

    def __init__(self, scene: Scene, books: Books, limits: Limits, lies: Lies) -> None:
        self._scene = scene
        self._books = books
        self._limits = limits
        self._lies = lies
        self.missed: Owed = Counter()
        """What contracts paid in final blocks, and a node left out of its traces: in suspense until the blocks are read again."""
        self._found: Owed = Counter()
        """Of these what was found since."""
        self._read_again: set[str] = set()
        """Deposits that a second reading of their blocks brought, or confirmed."""

    def require_deposit(self, id_: str, old: Deposit | None, new: Deposit | None) -> None:
        """INV-3 for a row."""
        require(new is not None, "append-only", f"{id_} was deleted")
        require(old is None or str(old.state) != "completed", "INV-3", f"{id_} was credited and changes")
        require(old is None or new is None or old.key == new.key, "INV-3", f"{id_} becomes another deposit")
        if old is not None and new is not None and (str(old.state), str(new.state)) == ("quarantined", "completed"):
            moved, amount = self._books.moved(id_, "deposit-released"), new.key.amount
            is_given = moved == {"quarantined": -amount, "available": amount}
            require(is_given, "INV-3", f"{id_} is released, and {moved} is posted of {amount}")

    def require_header(self, key: tuple[int, int], _old: Header | None, new: Header | None) -> None:
        """INV-20 for a row."""
        chain_id, height = key
        below = self._scene.tables.headers.get((chain_id, height - 1))
        if new is not None and below is not None:
            require(new.parent_hash == below.hash, "INV-20", f"block {height} does not stand on the stored block {height - 1}")

    def differs(self, holding: Holding) -> range:
        """By how much more a wallet may hold than its books say: by what was missed until a comparison books that as unexplained.
        What was found is booked twice until the next one. Of a token that does not move as it says nobody can tell before.
        """
        if holding[0].lower() in self._scene.oracle.odd:
            return ANYTHING
        return range(-self._paid(self._found, holding), self._paid(self.missed, holding) + 1)

    def _paid(self, owed: Owed, holding: Holding) -> int:
        asset, holder = holding[0].lower(), self._scene.holders[holding[1]]
        return sum(movement[5] * times for (_, movement), times in owed.items() if (movement[2], movement[4]) == (asset, holder))

    def arrive(self, before: Mapping[tuple[str, Any], Any]) -> range:
        """Heights that become final in this unit. INV-3, INV-20, INV-23."""
        if not any(table == "chains" for table, _ in before):
            self._read_again |= {key for table, key in before if table == "deposits"}
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
        """`missing` without what a node left out of the traces of that very block, which is remembered."""
        left_out = Counter({each: count for each, count in missing.items() if self._was_left_out(*each)})
        self.missed += left_out
        self._require_named([height for height, movement in left_out if self._is_kept_back(height, movement)])
        return missing - left_out

    def _require_named(self, untold: Sequence[int]) -> None:
        """Who can have blocks read again has been told from which on."""
        if untold:
            named = self._scene.tables.settings.get(f"traces-missing:{self._scene.chain_id}")
            is_named = named and int(named) <= min(untold)
            require(is_named, "INV-21", f"nobody is told that blocks {untold} were read without traces: named is {named!r}")

    def _is_kept_back(self, height: int, movement: Movement) -> bool:
        return self._lies.was_kept_back(self._scene.oracle.hash_at(height), movement)

    def _was_left_out(self, height: int, movement: Movement) -> bool:
        return self._lies.was_left_out(self._scene.oracle.hash_at(height), movement)

    def _find(self, found: Owed) -> None:
        """What arrives in blocks that were final before was missed in them."""
        require(not found - self.missed, "INV-3", f"credited {found - self.missed}, which was credited or never came")
        self.missed -= found
        self._found += found

    def _require_halted(self, old: ChainState, new: ChainState) -> None:
        """While the chain is halted nothing about it changes; it is halted where a final block did, and somebody is told."""
        if old.halted_reason is not None:
            require((old.cursor, old.final) == (new.cursor, new.final), "INV-23", "the chain is halted and goes on")
        elif new.halted_reason is not None:
            require(self._scene.oracle.was_breached, "INV-23", f"halted, and every final block stands: {new.halted_reason}")
            require("finality-breached" in self._scene.new_alarms, "INV-23", "halted without an alarm")

    def _arrived(self, before: Mapping[tuple[str, Any], Any]) -> list[tuple[int, Movement]]:
        arrived: list[tuple[int, Movement]] = []
        for (table, key), old in before.items():
            new = self._scene.tables.deposits.get(key) if table == "deposits" else None
            if new is not None and str(new.state) in ARRIVED and (old is None or str(old.state) not in ARRIVED):
                require(self._scene.oracle.is_final(new.block.number, new.block.hash), "INV-3", f"{new.id} is of no final block")
                self._require_its_end(new)
                of = new.key
                sender, to = bytes.fromhex(of.sender[2:]), bytes.fromhex(of.to[2:])
                arrived.append((new.block.number, (of.transaction_hash, str(of.kind), of.asset.lower(), sender, to, of.amount)))
        return arrived

    def _require_its_end(self, new: Deposit) -> None:
        """Its owner has it, unless there is a reason why not; then it is kept, and nobody has it."""
        why, state, is_open = self._why_kept(new), str(new.state), self._is_changing(new)
        require(why is None or is_open or state == "quarantined", "INV-3", f"{new.id} is credited, and {why}")
        is_kept = why is not None or is_open or self._may_be_kept(new)
        require(is_kept or state == "completed", "INV-3", f"{new.id} is quarantined, and nothing speaks against it: {new.reason}")
        reason, account = ("credited", "available") if state == "completed" else ("quarantined", "quarantined")
        moved, amount = self._books.moved(new.id, f"deposit-{reason}"), new.key.amount
        require(moved == {account: amount}, "INV-3", f"{new.id} is {state}, and {moved} is posted of {amount}")

    def _why_kept(self, new: Deposit) -> str | None:
        """Why it must not be its owner's yet, None where nothing speaks against it that is known for sure."""
        owner, token = self._owner_of(new), self._token_of(new)
        if str(self._scene.tables.wallets.rows[new.wallet_id].state) == "closed":
            return "its wallet is closed"
        if owner is not None and owner.disabled_at is not None:
            return "its owner is stopped"
        if token is not None and str(token.state) != "listed":
            return "its token is not listed"
        if new.key.amount < (token.dust if token else self._limits.dust_wei):
            return "it is dust"
        if self._came_short(new) and not self._is_told_of_otherwise(new):
            return f"less of it came in block {new.block.number}"
        return None

    def _may_be_kept(self, new: Deposit) -> bool:
        """Whether something that somebody said or did may speak against it."""
        minimum_wei = self._limits.cross_check_min_wei
        if str(new.key.kind) == "internal" and minimum_wei is not None and new.key.amount >= minimum_wei:
            return True
        is_doubted = str(new.key.kind) == "token" and (self._came_short(new) or self._is_told_of_otherwise(new))
        is_found_late = new.id in self._read_again
        return is_doubted or (is_found_late and self._books.was_given_away((new.key.asset, new.wallet_id)))

    def _is_changing(self, new: Deposit) -> bool:
        """Whether somebody stopped its owner or its token, or let them go on, while the unit was open."""
        owner, token = self._owner_of(new), self._token_of(new)
        changes = self._scene.is_changing
        return (owner is not None and changes("users", owner.id)) or (token is not None and changes("tokens", token.id))

    def _owner_of(self, new: Deposit) -> User | None:
        tables = self._scene.tables
        return tables.users.get(tables.wallets.rows[new.wallet_id].owner_id or "")

    def _token_of(self, new: Deposit) -> Token | None:
        return next((each for each in self._scene.tables.tokens if each.asset.key == new.key.asset), None)

    def _came_short(self, new: Deposit) -> bool:
        oracle, token, to = self._scene.oracle, new.key.asset.lower(), bytes.fromhex(new.key.to[2:])
        return token in oracle.odd and oracle.came_short(new.block.number, token, to)

    def _is_told_of_otherwise(self, new: Deposit) -> bool:
        """Whether a node made up balances of a block near it, or a token changed them: blocks are compared several at a time."""
        together, height = self._limits.blocks_per_commit_max, new.block.number
        near = range(height - together, height + together)
        return self._lies.is_about_balances(near) or self._scene.oracle.was_rebased(new.key.asset.lower(), near)
