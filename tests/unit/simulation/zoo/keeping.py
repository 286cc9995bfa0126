"""Bugs in the books, in what is promised to those who ask, and in how it is kept."""

from __future__ import annotations

from typing import Final

from custody_core.domain import ledger, lifecycle
from custody_core.services import acceptance, accepting, idempotency, kit
from custody_memory import tables
from tests.unit.simulation.zoo.bug import Bug

KEEPING: Final = (
    Bug("gas is not held", lifecycle, "accept", "transaction.fee_hold_wei)", "0)"),
    Bug("what gas has cost is not booked", lifecycle, "_settled", "fee = inclusion.fee_wei if inclusion else 0", "fee = 0"),
    Bug("the amount of a failed send is gone", lifecycle, "_settled", "if transaction.state is State.COMPLETED else 0", ""),
    Bug(
        "a key is not kept with its answer",
        accepting.Desk,
        "write",
        "self._unit.add_idempotency([record for each in self._new for record in each.records])",
        "pass",
        peer="SHKeeper: already exists, yet paid twice",
    ),
    Bug(
        "a change has no audit row",
        kit,
        "record_changes",
        "unit.add_audit([_transaction_audit(kit, change, actor, now) for change in changes])",
        "pass",
    ),
    Bug(
        "of several changes one has an audit row",
        kit,
        "record_changes",
        "for change in changes])\n    unit.add_events",
        "for change in changes[:1]])\n    unit.add_events",
    ),
    Bug(
        "a row's version is not compared",
        tables.VersionedTable,
        "save",
        "if stored is None or stored.version != value.version - 1:",
        "if stored is None:",
        peer="Safe: a slow worker moves a cursor that was rewound",
    ),
    Bug("an amount is a float once", ledger, "moves", "net[target] += amount", "net[target] += float(amount)"),
    Bug(
        "what was paid for is not looked at",
        accepting.Desk,
        "_look",
        "require_funds(request.amount",
        "(lambda *_: None)(request.amount",
        peer="SHKeeper: a payout of what is not there",
    ),
    Bug(
        "a call's key is kept after it",
        acceptance.Acceptance,
        "_keep",
        "return self._kit.write(lambda unit: self._accept(unit, estimated, wait=wait), repeatable=True)",
        "if not estimated[0][0].request.is_call:\n"
        "        return self._kit.write(lambda unit: self._accept(unit, estimated, wait=wait), repeatable=True)\n"
        "    kept = []\n"
        "    aside = lambda unit: type('Aside', (), {'__getattr__': lambda _, name:\n"
        "        kept.extend if name == 'add_idempotency' else getattr(unit, name)})()\n"
        "    made = self._kit.write(lambda unit: self._accept(aside(unit), estimated, wait=wait), repeatable=True)\n"
        "    self._kit.write(lambda unit: unit.add_idempotency({each.key: each for each in kept}.values()))\n"
        "    return made",
    ),
    Bug(
        "a used key with another body is taken",
        idempotency,
        "require_same",
        "if record.fingerprint != fingerprint:",
        "if False:",
        peer="thirdweb: the same key with another body answers 200",
    ),
)
