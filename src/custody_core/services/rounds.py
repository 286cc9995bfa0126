"""How a worker saves what one step did to a batch of claimed transactions.

A claim is a version. What somebody else changed since (the follower saw it in a block, its owner cancelled it) is left alone:
that change has made it due again where it needs to be. What cannot go on is parked with a problem code and never holds up the
others.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

import attrs

from custody_core.domain.lifecycle import Change, park
from custody_core.domain.transaction import Transaction
from custody_core.errors import KeyIntegrity, WalletFrozen
from custody_core.ports import Unit
from custody_core.services.kit import Kit, raise_alarm, record_changes

PARKED_FOR = timedelta(seconds=10)
"""How long a transaction that cannot go on is left alone."""

ALARMING = frozenset({KeyIntegrity.code, "not-authorised", "nonce-foreign"})
"""Reasons to park that a person has to look at."""

IN_FLIGHT_LIMIT = "in-flight-limit"
"""Why a transaction waits whose wallet has enough on its way. It is woken when a block takes one of those."""

WOKEN = frozenset({IN_FLIGHT_LIMIT, WalletFrozen.code})
"""Reasons to wait long for, since whoever ends them wakes the oldest that waits. The others are looked at again by themselves."""

ORDINARY = frozenset({IN_FLIGHT_LIMIT})
"""Reasons to park that are no trouble."""


@attrs.frozen
class Parked:
    """A transaction that cannot go on now: a problem code, and a sentence for the operator."""

    transaction: Transaction
    code: str
    detail: str
    wait: timedelta = PARKED_FOR


Outcome = Change | Parked
Step = Callable[[Unit, Sequence[Transaction], datetime], Sequence[Outcome]]


def save_step(kit: Kit, claimed: Sequence[Transaction], step: Step) -> list[Transaction]:
    """Runs `step` on those of `claimed` that are still as claimed, and saves its outcomes in the same unit.

    A step may also change others, which its locks keep from everybody else; they are claimed by that. Returns the transactions
    that a fact changed, as they are now.
    """
    if not claimed:
        return []

    def work(unit: Unit) -> list[Transaction]:
        now = kit.clock.now()
        versions = unit.versions_of([each.id for each in claimed])
        fresh = [each for each in claimed if versions[each.id] == each.version]
        outcomes = step(unit, fresh, now)
        ends = {each.id: each.due_at for each in fresh}
        changes = [
            _still_claimed(outcome, ends.get(outcome.transaction.id, now + kit.limits.lease), now)
            for outcome in outcomes
            if isinstance(outcome, Change)
        ]
        record_changes(kit, unit, changes, now=now)
        _save_parked(kit, unit, [outcome for outcome in outcomes if isinstance(outcome, Parked)], now)
        return [change.transaction for change in changes]

    return kit.write(work)


def wake_wallets(kit: Kit, unit: Unit, wallet_ids: Collection[str], now: datetime) -> None:
    """Lets what these wallets have queued go on, on every chain."""
    for chain_id in kit.chains:
        unit.wake_queued(chain_id, wallet_ids, parked_for=WOKEN, now=now)


def _still_claimed(change: Change, until: datetime | None, now: datetime) -> Change:
    """`change`, whose next act stays its claimer's own until the claim ends: were it due now, another worker would send it too."""
    due_at = change.transaction.due_at
    if due_at is None or due_at > now:
        return change
    return Change(attrs.evolve(change.transaction, due_at=until), change.postings, change.event)


def _save_parked(kit: Kit, unit: Unit, parked: Sequence[Parked], now: datetime) -> None:
    unit.save_transactions([park(each.transaction, reason=each.code, until=now + each.wait, now=now) for each in parked])
    for each in parked:
        if each.code in ALARMING and each.transaction.parked_reason != each.code:
            raise_alarm(kit, unit, now=now, code=each.code, object_id=each.transaction.id, detail=each.detail)
        elif each.code not in ORDINARY:
            kit.observer.trouble(each.code, f"{each.transaction.id} waits: {each.detail}")
