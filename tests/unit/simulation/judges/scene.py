"""What all judges look at."""

from __future__ import annotations

import attrs

from custody_memory.tables import Tables
from tests.unit.simulation.oracle import Oracle


@attrs.define(slots=False, eq=False)
class Scene:
    """The truth, and the service's rows as they are about to be. Addresses are raw; wallets go by their ids."""

    oracle: Oracle
    tables: Tables = attrs.field(init=False)
    final: int = 0
    """The height of the books' final block."""
    final_hash: str = ""
    managed: dict[bytes, str] = attrs.field(factory=dict)
    """Whose address it is."""
    holders: dict[str, bytes] = attrs.field(factory=dict)
    """Whose wallet it is: the other way round."""
    meanwhile: range = range(0)
    """The commits, by their numbers, of others since the unit began: what they changed it may have seen or not."""
    stopped: dict[tuple[str, str], int] = attrs.field(factory=dict)
    """The latest commit that changed a token, a user, a wallet or the policies."""

    @property
    def chain_id(self) -> int:
        """Of the one chain that there is."""
        return next(iter(self.tables.chains)).chain_id

    def changed(self, table: str, id_: str) -> None:
        """This unit changes it."""
        self.stopped[table, id_] = self.meanwhile.stop

    def is_changing(self, table: str, id_: str) -> bool:
        """Whether somebody else changed it while the unit was open."""
        return self.stopped.get((table, id_)) in self.meanwhile

    @property
    def new_alarms(self) -> set[object]:
        """Raised, and not numbered yet."""
        return {event.data.get("code") for event in self.tables.unnumbered_events if event.type == "alarm.raised"}

    def wallet_added(self, address: str, id_: str) -> None:
        """From here on that address is managed."""
        self.managed[bytes.fromhex(address[2:])] = id_
        self.holders[id_] = bytes.fromhex(address[2:])
