"""Incoming transactions."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from custody_core.domain.addresses import Address
from custody_core.domain.chain import BlockRef
from custody_core.domain.deposit import Deposit, DepositKey, DepositKind, DepositState
from custody_core.errors import BrokenInvariant
from custody_sql.rows.assets import to_asset


def deposit_row(deposit: Deposit) -> dict[str, Any]:
    """The whole row. Raises `BrokenInvariant` for a deposit whose key names another asset than it has: one column keeps both."""
    key = deposit.key
    if (key.chain_id, key.asset) != (deposit.asset.chain_id, deposit.asset.key):
        raise BrokenInvariant("a deposit's key names the deposit's asset")
    return {
        "id": deposit.id,
        "chain_id": key.chain_id,
        "transaction_hash": key.transaction_hash,
        "kind": key.kind.value,
        "asset": key.asset,
        "sender": key.sender,
        "to": key.to,
        "amount": key.amount,
        "ordinal": key.ordinal,
        "alias": deposit.asset.alias,
        "decimals": deposit.asset.decimals,
        "wallet_id": deposit.wallet_id,
        "created_at": deposit.created_at,
        **changing_row(deposit),
    }


def changing_row(deposit: Deposit) -> dict[str, Any]:
    """What a save writes; the rest is the deposit's identity."""
    return {
        "state": deposit.state.value,
        "block_number": deposit.block.number,
        "block_hash": deposit.block.hash,
        "block_timestamp": deposit.block.timestamp,
        "updated_at": deposit.updated_at,
        "reason": deposit.reason,
        "version": deposit.version,
    }


CHANGING = ("state", "block_number", "block_hash", "block_timestamp", "updated_at", "reason", "version")
"""The columns of `changing_row`."""


def to_deposit(row: Row[Any]) -> Deposit:
    key = DepositKey(
        chain_id=row.chain_id,
        transaction_hash=row.transaction_hash,
        kind=DepositKind(row.kind),
        asset=row.asset,
        sender=Address(row.sender),
        to=Address(row.to),
        amount=row.amount,
        ordinal=row.ordinal,
    )
    return Deposit(
        id=row.id,
        key=key,
        asset=to_asset(row),
        wallet_id=row.wallet_id,
        state=DepositState(row.state),
        block=BlockRef(row.block_number, row.block_hash, row.block_timestamp),
        created_at=row.created_at,
        updated_at=row.updated_at,
        reason=row.reason,
        version=row.version,
    )
