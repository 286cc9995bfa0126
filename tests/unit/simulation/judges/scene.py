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

    @property
    def chain_id(self) -> int:
        """Of the one chain that there is."""
        return next(iter(self.tables.chains)).chain_id

    def wallet_added(self, address: str, id_: str) -> None:
        """From here on that address is managed."""
        self.managed[bytes.fromhex(address[2:])] = id_
        self.holders[id_] = bytes.fromhex(address[2:])
