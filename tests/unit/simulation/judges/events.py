"""What owners are told: an event for each change that concerns them, and to nobody else."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from custody_memory.tables import Tables
from tests.unit.simulation.failures import require
from tests.unit.simulation.journal import Changed
from tests.unit.simulation.judges.audit import steps

TABLES: Final = frozenset({"transactions", "deposits"})
SILENT: Final = "pending_signature"
"""Of this state nobody is told."""


def require_events(tables: Tables, changed: Changed) -> None:
    """INV-24, INV-25: each change of a state in this unit has an event of its own, and each event is its owner's."""
    told: Counter[tuple[str, str]] = Counter()
    for table, key, old in changed:
        event = tables.unnumbered_events.get(key) if table == "unnumbered_events" and old is None else None
        if event is None or not event.type.startswith("transaction."):
            continue  # an alarm is the operators'
        row = tables.transactions.get(event.object_id) or tables.deposits.get(event.object_id)
        if row is None:
            continue
        told[event.object_id, event.type] += 1
        owner = tables.wallets.rows[row.wallet_id].owner_id
        require(event.owner_id == owner, "INV-24", f"{event.owner_id} is told of {row.id}, which is of {owner}")
        require(event.data["id"] == row.id, "INV-24", f"an event of {row.id} shows {event.data['id']}")
    for _, old, new in steps(tables, changed, TABLES):
        if (old is not None and old.state == new.state) or str(new.state) == SILENT:
            continue
        type_ = f"transaction.{_word(old, new)}"
        require(told[new.id, type_] > 0, "INV-25", f"{new.id} is {new.state}, and no event of the commit says {type_}")
        told[new.id, type_] -= 1


def _word(old: Any, new: Any) -> str:
    """A send whose block left the chain is on its way again; what tells of that is not its state."""
    is_dropped = old is not None and (str(old.state), str(new.state)) == ("confirming", "broadcasting")
    return "reorged" if is_dropped else str(new.state)
