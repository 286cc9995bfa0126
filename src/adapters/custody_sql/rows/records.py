"""Policies, decisions, idempotency keys, audit rows and events."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from custody_core.domain.audit import AuditEvent, Event
from custody_core.domain.policy import Decision, Evaluation, Layer, Policy, PolicyInput, Verdict
from custody_core.ports import IdempotencyRecord
from custody_sql.rows.calls import access_list_row, to_access_list


def policy_row(policy: Policy) -> dict[str, Any]:
    return {
        "id": policy.id,
        "layer": policy.layer.value,
        "subject": policy.subject,
        "document": dict(policy.document),
        "published_at": policy.published_at,
        "active": True,
    }


def to_policy(row: Row[Any]) -> Policy:
    return Policy(row.id, Layer(row.layer), row.subject, row.document, row.published_at)


def decision_row(decision: Decision) -> dict[str, Any]:
    inputs = decision.evaluation.inputs
    return {
        "id": decision.id,
        "transaction_id": decision.transaction_id,
        "verdict": decision.evaluation.verdict.value,
        "rules": list(decision.evaluation.rules),
        "policy_ids": list(decision.evaluation.policy_ids),
        "inputs": {
            "chain_id": inputs.chain_id,
            "type": inputs.type,
            "wallet_id": inputs.wallet_id,
            "owner_id": inputs.owner_id,
            "sender": inputs.sender,
            "to": inputs.to,
            "asset": inputs.asset,
            "contract": inputs.contract,
            "amount": str(inputs.amount),  # as text: other readers of JSON round large numbers
            **_call_row(inputs),
        },
        "nonce": decision.nonce,
        "fee_per_gas_max_wei": decision.fee_per_gas_max_wei,
        "gas_limit": decision.gas_limit,
        "decided_at": decision.decided_at,
    }


def _call_row(inputs: PolicyInput) -> dict[str, Any]:
    """What only some inputs have: most are transfers, and decisions are kept for ever."""
    row = {
        "data": "0x" + inputs.data.hex() if inputs.data else None,
        "access_list": access_list_row(inputs.access_list),
        "token": inputs.token,
    }
    return {name: value for name, value in row.items() if value is not None}


def to_decision(row: Row[Any]) -> Decision:
    given = row.inputs
    read = {
        "amount": int(given["amount"]),
        "data": bytes.fromhex(given.get("data", "0x")[2:]),
        "access_list": to_access_list(given.get("access_list")),
    }
    inputs = PolicyInput(**(given | read))
    return Decision(
        id=row.id,
        transaction_id=row.transaction_id,
        evaluation=Evaluation(Verdict(row.verdict), tuple(row.rules), tuple(row.policy_ids), inputs),
        nonce=row.nonce,
        fee_per_gas_max_wei=row.fee_per_gas_max_wei,
        gas_limit=row.gas_limit,
        decided_at=row.decided_at,
    )


def idempotency_row(record: IdempotencyRecord) -> dict[str, Any]:
    return {
        "scope": record.scope,
        "key": record.key,
        "fingerprint": record.fingerprint,
        "object_id": record.object_id,
        "created_at": record.created_at,
        "answer": dict(record.answer),
    }


def to_idempotency(row: Row[Any]) -> IdempotencyRecord:
    return IdempotencyRecord(row.scope, row.key, bytes(row.fingerprint), row.object_id, row.created_at, row.answer)


def audit_row(row: AuditEvent) -> dict[str, Any]:
    return {
        "id": row.id,
        "occurred_at": row.occurred_at,
        "actor": row.actor,
        "action": row.action,
        "object_id": row.object_id,
        "detail": dict(row.detail),
        "sequence": row.sequence,
        "hash": row.hash,
    }


def to_audit(row: Row[Any]) -> AuditEvent:
    return AuditEvent(
        id=row.id,
        occurred_at=row.occurred_at,
        actor=row.actor,
        action=row.action,
        object_id=row.object_id,
        detail=row.detail,
        sequence=row.sequence,
        hash=None if row.hash is None else bytes(row.hash),
    )


def event_row(row: Event) -> dict[str, Any]:
    return {
        "id": row.id,
        "type": row.type,
        "occurred_at": row.occurred_at,
        "object_id": row.object_id,
        "owner_id": row.owner_id,
        "data": dict(row.data),
        "sequence": row.sequence,
    }


def to_event(row: Row[Any]) -> Event:
    return Event(
        id=row.id,
        type=row.type,
        occurred_at=row.occurred_at,
        object_id=row.object_id,
        owner_id=row.owner_id,
        data=row.data,
        sequence=row.sequence,
    )
