"""The public form of what services answer: one for HTTP and `--json`, by the rules of `domain/resources.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from custody_core.domain.audit import AuditEvent, Event
from custody_core.domain.chain import BlockRef, Reorganisation
from custody_core.domain.deposit import Deposit
from custody_core.domain.money import format_units
from custody_core.domain.policy import Policy
from custody_core.domain.resources import (
    Resource,
    block_resource,
    chain_text,
    deposit_resource,
    time_text,
    transaction_resource,
)
from custody_core.domain.transaction import Transaction
from custody_core.services.chains import ChainStatus
from custody_core.services.previewing import Preview


def movement_resource(movement: Transaction | Deposit, heads: Mapping[int, BlockRef]) -> Resource:
    """A transaction of either direction."""
    if isinstance(movement, Deposit):
        return deposit_resource(movement, head=heads.get(movement.key.chain_id))
    return transaction_resource(movement, head=heads.get(movement.chain_id))


def preview_resource(preview: Preview) -> Resource:
    """What a send would cost and whether it would be accepted."""
    return {
        "type": preview.type,
        "chain": chain_text(preview.asset.chain_id),
        "asset": preview.asset.alias,
        "asset_id": preview.asset.caip19,
        "amount": str(preview.amount),
        "decimals": preview.asset.decimals,
        "formatted": format_units(preview.amount, preview.asset.decimals),
        "gas_limit": None if preview.gas_limit is None else str(preview.gas_limit),
        "fee_per_gas_max_wei": str(preview.fee_per_gas_max_wei),
        "fee_hold_wei": None if preview.fee_hold_wei is None else str(preview.fee_hold_wei),
        "fees": {
            str(tier): {
                "fee_per_gas_max_wei": str(fees.max_fee_per_gas_wei),
                "priority_fee_per_gas_max_wei": str(fees.max_priority_fee_per_gas_wei),
            }
            for tier, fees in preview.fees_by_tier.items()
        },
        "available": str(preview.available),
        "available_native_wei": str(preview.available_native_wei),
        "sufficient": preview.sufficient,
        "simulation": {"ok": preview.simulation.ok, "reason": preview.simulation.reason} if preview.simulation else None,
        "policy": {"decision": str(preview.verdict), "rules": list(preview.rules)},
    }


def policy_resource(policy: Policy) -> Resource:
    """A published policy."""
    return {
        "id": policy.id,
        "layer": str(policy.layer),
        "subject": policy.subject,
        "document": dict(policy.document),
        "published_at": time_text(policy.published_at),
    }


def chain_resource(status: ChainStatus) -> dict[str, Any]:
    """A followed chain."""
    state = status.state
    return {
        "id": chain_text(state.chain_id),
        "name": status.name,
        "head": status.head_number,
        "followed": block_resource(state.cursor),
        "final": block_resource(state.final),
        "lag_blocks": status.lag_blocks,
        "led": status.is_led,
        "halted": state.halted_reason is not None,
        "halted_reason": state.halted_reason,
        "last_reorganisation": reorganisation_resource(status.last_reorganisation) if status.last_reorganisation else None,
    }


def reorganisation_resource(reorganisation: Reorganisation) -> dict[str, Any]:
    """What a reorganisation took back. Whose it was is not in it: everybody may see how a chain is."""
    return {
        "id": reorganisation.id,
        "found_at": time_text(reorganisation.found_at),
        "depth": reorganisation.depth,
        "from": block_resource(reorganisation.cursor),
        "to": block_resource(reorganisation.ancestor),
        "deposits": len(reorganisation.deposit_ids),
        "transactions": len(reorganisation.transaction_ids),
        "events": reorganisation.events,
    }


def event_resource(event: Event) -> Resource:
    """An event, with the resource as it was then."""
    return {
        "id": event.id,
        "type": event.type,
        "sequence": event.sequence,
        "timestamp": time_text(event.occurred_at),
        "data": dict(event.data),
    }


def audit_resource(row: AuditEvent) -> Resource:
    """A sealed row of the audit trail."""
    return {
        "id": row.id,
        "sequence": row.sequence,
        "occurred_at": time_text(row.occurred_at),
        "actor": row.actor,
        "action": row.action,
        "object_id": row.object_id,
        "detail": dict(row.detail),
        "hash": row.hash.hex() if row.hash else None,
    }
