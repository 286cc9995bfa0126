"""Outgoing transactions and their attempts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row

from custody_core.domain.addresses import Address
from custody_core.domain.chain import BlockRef
from custody_core.domain.fees import Fees, FeeTier
from custody_core.domain.transaction import Attempt, AttemptKind, AttemptState, Inclusion, State, Stuck, Transaction
from custody_sql.rows.assets import to_asset
from custody_sql.rows.calls import access_list_row, to_access_list

CHANGING = (
    "updated_at",
    "state",
    "due_at",
    "nonce",
    "decision_id",
    "inclusion_attempt_id",
    "inclusion_block_number",
    "inclusion_block_hash",
    "inclusion_block_timestamp",
    "inclusion_succeeded",
    "inclusion_gas_used",
    "inclusion_effective_gas_price_wei",
    "inclusion_problem",
    "reason",
    "parked_reason",
    "cancel_requested_at",
    "cancel_fee_per_gas_max_wei",
    "speed_up_requested_at",
    "stuck",
    "version",
)
"""The columns that a save writes. The others say what was accepted, and never change."""

_NOT_INCLUDED = dict.fromkeys(name for name in CHANGING if name.startswith("inclusion_"))


def changing_row(transaction: Transaction) -> dict[str, Any]:
    """The values of `CHANGING`."""
    return {
        "updated_at": transaction.updated_at,
        "state": transaction.state.value,
        "due_at": transaction.due_at,
        "nonce": transaction.nonce,
        "decision_id": transaction.decision_id,
        "reason": transaction.reason,
        "parked_reason": transaction.parked_reason,
        "cancel_requested_at": transaction.cancel_requested_at,
        "cancel_fee_per_gas_max_wei": transaction.cancel_fee_per_gas_max_wei,
        "speed_up_requested_at": transaction.speed_up_requested_at,
        "stuck": transaction.stuck.value if transaction.stuck else None,
        "version": transaction.version,
        **(_inclusion_row(transaction.inclusion) if transaction.inclusion else _NOT_INCLUDED),
    }


def transaction_row(transaction: Transaction) -> dict[str, Any]:
    """The whole row."""
    return {
        "id": transaction.id,
        "wallet_id": transaction.wallet_id,
        "owner_id": transaction.owner_id,
        "chain_id": transaction.asset.chain_id,
        "asset": transaction.asset.key,
        "alias": transaction.asset.alias,
        "decimals": transaction.asset.decimals,
        "type": transaction.type,
        "sender": transaction.sender,
        "to": transaction.to,
        "amount": transaction.amount,
        "gas_limit": transaction.gas_limit,
        "fee_tier": transaction.fee_tier.value,
        "fee_per_gas_max_wei": transaction.fee_per_gas_max_wei,
        "policy_verdict": str(transaction.policy_verdict),
        "policy_ids": list(transaction.policy_ids),
        "policy_rules": list(transaction.policy_rules),
        "external_id": transaction.external_id,
        "metadata": dict(transaction.metadata),
        "data": transaction.data or None,
        "access_list": access_list_row(transaction.access_list),
        "created_at": transaction.created_at,
        **changing_row(transaction),
    }


def attempt_rows(transaction: Transaction) -> list[dict[str, Any]]:
    """One row for each attempt; `ordinal` is its place."""
    return [
        {
            "transaction_id": transaction.id,
            "ordinal": ordinal,
            "id": attempt.id,
            "chain_id": transaction.asset.chain_id,
            "kind": attempt.kind.value,
            "max_fee_per_gas_wei": attempt.fees.max_fee_per_gas_wei,
            "max_priority_fee_per_gas_wei": attempt.fees.max_priority_fee_per_gas_wei,
            "planned_at": attempt.planned_at,
            "state": attempt.state.value,
            "raw": attempt.raw,
            "hash": attempt.hash,
            "first_sent_at": attempt.first_sent_at,
        }
        for ordinal, attempt in enumerate(transaction.attempts)
    ]


def to_transaction(row: Row[Any], attempts: Sequence[Attempt]) -> Transaction:
    return Transaction(
        id=row.id,
        wallet_id=row.wallet_id,
        owner_id=row.owner_id,
        asset=to_asset(row),
        sender=Address(row.sender),
        to=Address(row.to),
        amount=row.amount,
        gas_limit=row.gas_limit,
        fee_tier=FeeTier(row.fee_tier),
        fee_per_gas_max_wei=row.fee_per_gas_max_wei,
        state=State(row.state),
        created_at=row.created_at,
        updated_at=row.updated_at,
        policy_verdict=row.policy_verdict,
        policy_ids=tuple(row.policy_ids),
        policy_rules=tuple(row.policy_rules),
        type=row.type,
        data=bytes(row.data or b""),
        access_list=to_access_list(row.access_list),
        due_at=row.due_at,
        nonce=row.nonce,
        decision_id=row.decision_id,
        attempts=tuple(attempts),
        inclusion=_to_inclusion(row),
        reason=row.reason,
        parked_reason=row.parked_reason,
        cancel_requested_at=row.cancel_requested_at,
        cancel_fee_per_gas_max_wei=row.cancel_fee_per_gas_max_wei,
        speed_up_requested_at=row.speed_up_requested_at,
        stuck=Stuck(row.stuck) if row.stuck else None,
        external_id=row.external_id,
        metadata=row.metadata,
        version=row.version,
    )


def to_attempt(row: Row[Any]) -> Attempt:
    return Attempt(
        id=row.id,
        kind=AttemptKind(row.kind),
        fees=Fees(row.max_fee_per_gas_wei, row.max_priority_fee_per_gas_wei),
        planned_at=row.planned_at,
        state=AttemptState(row.state),
        raw=None if row.raw is None else bytes(row.raw),
        hash=row.hash,
        first_sent_at=row.first_sent_at,
    )


def _inclusion_row(inclusion: Inclusion) -> dict[str, Any]:
    return {
        "inclusion_attempt_id": inclusion.attempt_id,
        "inclusion_block_number": inclusion.block.number,
        "inclusion_block_hash": inclusion.block.hash,
        "inclusion_block_timestamp": inclusion.block.timestamp,
        "inclusion_succeeded": inclusion.succeeded,
        "inclusion_gas_used": inclusion.gas_used,
        "inclusion_effective_gas_price_wei": inclusion.effective_gas_price_wei,
        "inclusion_problem": inclusion.problem,
    }


def _to_inclusion(row: Row[Any]) -> Inclusion | None:
    if row.inclusion_attempt_id is None:
        return None
    return Inclusion(
        attempt_id=row.inclusion_attempt_id,
        block=BlockRef(row.inclusion_block_number, row.inclusion_block_hash, row.inclusion_block_timestamp),
        succeeded=row.inclusion_succeeded,
        gas_used=row.inclusion_gas_used,
        effective_gas_price_wei=row.inclusion_effective_gas_price_wei,
        problem=row.inclusion_problem,
    )
