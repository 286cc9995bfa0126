"""Every port: what the core needs from the world, with each method's error contract.

Rules of these files

1. An adapter implements one of these protocols and passes its contract suite (`tests/unit/contracts/`).
2. A question to the chain has three answers: found, absent, unknown. A time-out is unknown; so is an answer that contradicts
   itself.
3. No network call is made between a unit's first statement and its commit.
4. Time, chance and keys come in here and nowhere else.
"""

from custody_core.ports.chain import (
    Absent,
    AccountState,
    Answer,
    BlockTag,
    BroadcastAnswer,
    BroadcastOutcome,
    Call,
    Chain,
    Doubt,
    Found,
    Reverted,
    SignedBytes,
    Unknown,
    Witness,
    no_doubt,
)
from custody_core.ports.keys import Keys, SignedTransaction
from custody_core.ports.store import Store, Unit
from custody_core.ports.units.movements import EVERY_MOVEMENT, MovementFilter
from custody_core.ports.units.records import AuditHead, IdempotencyRecord
from custody_core.ports.units.review import AccountSum, EntryFilter, RowCounts, SuspenseLine
from custody_core.ports.world import Clock, Entropy, Observer

__all__ = [
    "EVERY_MOVEMENT",
    "Absent",
    "AccountState",
    "AccountSum",
    "Answer",
    "AuditHead",
    "BlockTag",
    "BroadcastAnswer",
    "BroadcastOutcome",
    "Call",
    "Chain",
    "Clock",
    "Doubt",
    "Entropy",
    "EntryFilter",
    "Found",
    "IdempotencyRecord",
    "Keys",
    "MovementFilter",
    "Observer",
    "Reverted",
    "RowCounts",
    "SignedBytes",
    "SignedTransaction",
    "Store",
    "SuspenseLine",
    "Unit",
    "Unknown",
    "Witness",
    "no_doubt",
]
