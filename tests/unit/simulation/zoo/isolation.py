"""Bugs in whose it is, who may ask, and who is told."""

from __future__ import annotations

from typing import Final

from custody_core.services import idempotency, ingest, kit, transactions, users
from tests.unit.simulation.zoo.bug import Bug

ISOLATION: Final = (
    Bug(
        "a wallet is given to another owner",
        users,
        "owner_named",
        "return unit.user_by_subject(LOCAL_ISSUER, owner) or",
        "return unit.user_by_subject(LOCAL_ISSUER, 'alice') or unit.user_by_subject(LOCAL_ISSUER, owner) or",
    ),
    Bug("a key is everybody's", idempotency, "scope_of", 'f"{owner_id} {route}"', "route"),
    Bug(
        "anybody cancels a send",
        transactions.Transactions,
        "cancel",
        "visible_outgoing(unit, transaction_id, owner_id)",
        "visible_outgoing(unit, transaction_id, None)",
    ),
    Bug(
        "who asks for speed gets a cancellation",
        transactions.Transactions,
        "speed_up",
        "decide(transaction, SpeedUpAsked(), now)",
        "decide(transaction, CancelAsked(None), now)",
    ),
    Bug("somebody else is told of a deposit", kit, "record_deposit_notices", "owners[deposit.wallet_id]", "'usr_somebody-else'"),
    Bug("nobody is told of a deposit", kit, "record_deposit_notices", "unit.add_events(events)", "pass"),
    Bug(
        "nobody is told what became of a send",
        kit,
        "record_changes",
        "for change in changes if change.event",
        "for change in changes if change.event and not change.transaction.is_final",
    ),
    Bug(
        "what was in suspense once is doubted for ever",
        ingest.Ingest,
        "_doubt",
        "if not self._is_second_reading:",
        "if False:",
        flow="deposit_after_forced_ether_was_booked",
    ),
)
