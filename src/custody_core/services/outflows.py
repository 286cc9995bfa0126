"""Keeping what left a wallet unasked until it is final, and booking it then (`domain/outflow.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from custody_core.domain.chain import BlockRef, ChainState
from custody_core.domain.ledger import Account, WalletAccounts
from custody_core.domain.outflow import Movement, Outflow, booked, not_known
from custody_core.ports import Unit
from custody_core.services.kit import SYSTEM_ACTOR, Kit, record_audit


def keep_outflows(unit: Unit, chain_id: int, movements: Sequence[tuple[BlockRef, Sequence[Movement]]]) -> None:
    """Stores the movements of each block, to be booked when it is final; those that are known are left as they are."""
    addresses = {each.address for _, moved in movements for each in moved}
    if not addresses:
        return
    wallets = unit.wallets_by_address(addresses)
    outflows = [
        Outflow(chain_id, each.transaction_hash, each.ordinal, wallets[each.address].id, each.asset, each.amount, block)
        for block, moved in movements
        for each in moved
        if each.address in wallets
    ]
    known = unit.outflows_of(chain_id, {each.transaction_hash for each in outflows})
    unit.put_outflows(not_known(outflows, known))


def book_outflows(kit: Kit, unit: Unit, state: ChainState, now: datetime) -> None:
    """Posts those that are final now."""
    outflows = unit.outflows(state.chain_id, up_to=state.final.number)
    if not outflows:
        return
    wallet_ids = {each.wallet_id for each in outflows}
    unit.wallets_by_id(wallet_ids, lock=True)  # what is available is not held for a send meanwhile
    left = dict(unit.balances_of({_available(each) for each in outflows}))
    groups = []
    for each in outflows:
        groups.append(booked(each, available=left[_available(each)], now=now))
        left[_available(each)] -= min(each.amount, left[_available(each)])
        detail = {"asset": each.asset, "amount": str(each.amount), "hash": each.transaction_hash}
        record_audit(
            kit, unit, now=now, actor=SYSTEM_ACTOR, action="wallet.moved-elsewhere", object_id=each.wallet_id, detail=detail
        )
    unit.post(groups)
    unit.settle_outflows(outflows)


def _available(outflow: Outflow) -> Account:
    return WalletAccounts(outflow.chain_id, outflow.asset, outflow.wallet_id).available
