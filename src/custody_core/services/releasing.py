"""An operator's word about a deposit that is quarantined."""

from __future__ import annotations

from collections.abc import Callable

from custody_core.domain.deposit import NOT_CORROBORATED, TRANSITIONS, Deposit, Released, decide
from custody_core.domain.resources import deposit_resource
from custody_core.domain.transaction import Transaction
from custody_core.errors import ChainHalted, InvalidStateTransition
from custody_core.ports import Unit
from custody_core.services.checks import require_text
from custody_core.services.disagreement import DEPOSIT_UNCORROBORATED
from custody_core.services.kit import Kit, clear_alarm, record_audit, record_event


def release_deposit(kit: Kit, find: Callable[[Unit], Transaction | Deposit], *, note: str, actor: str) -> Deposit:
    """What `find` finds, which is its owner's from now on. Raises `ValidationFailed`, `InvalidStateTransition`, `ChainHalted`, and
    what `find` raises.
    """
    require_text(note, "note")

    def work(unit: Unit) -> Deposit:
        deposit = _quarantined(find(unit))
        chain, wallet = unit.chain(deposit.key.chain_id), unit.wallet(deposit.wallet_id)
        if chain is not None and chain.halted_reason is not None:
            raise ChainHalted("the chain is halted, so nothing of it is credited; see `custody chain status`")
        now = kit.clock.now()
        change = decide(deposit, Released(), now)
        unit.save_deposits([change.deposit])
        unit.post(change.postings)
        detail = {"reason": deposit.reason or "", "note": note}
        record_audit(kit, unit, now=now, actor=actor, action="deposit.released", object_id=deposit.id, detail=detail)
        record_event(
            kit,
            unit,
            now=now,
            type_=f"transaction.{change.event}",
            object_id=deposit.id,
            owner_id=wallet.owner_id if wallet else None,
            data=deposit_resource(change.deposit, head=chain.cursor if chain else None),
        )
        if deposit.reason == NOT_CORROBORATED:
            clear_alarm(kit, unit, now=now, code=DEPOSIT_UNCORROBORATED, object_id=deposit.id, detail="it was released")
        return change.deposit

    return kit.write(work)


def _quarantined(found: Transaction | Deposit) -> Deposit:
    if isinstance(found, Transaction):
        raise InvalidStateTransition("this transaction is outgoing; only a quarantined deposit is released")
    if Released not in TRANSITIONS[found.state]:
        raise InvalidStateTransition(f"the deposit is {found.state}; only a quarantined one is released")
    return found
