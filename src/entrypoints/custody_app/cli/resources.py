"""The public form of answers that only the command line gives so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from custody_core import BlockRef, Custody, Deposit, Policy, Preview, Reconciliation, Transaction
from custody_core.domain.money import format_units
from custody_core.domain.resources import (
    Resource,
    attempt_resource,
    balance_resource,
    block_resource,
    chain_text,
    deposit_resource,
    time_text,
    transaction_resource,
    wallet_resource,
)
from custody_core.services.chains import ChainStatus


def heads_of(custody: Custody) -> Mapping[int, BlockRef]:
    """Chain id → the newest block that we follow."""
    return {state.chain_id: state.cursor for state in custody.chains.states()}


def movement_resource(movement: Transaction | Deposit, heads: Mapping[int, BlockRef]) -> Resource:
    """A transaction of either direction."""
    if isinstance(movement, Deposit):
        return deposit_resource(movement, head=heads.get(movement.key.chain_id))
    return transaction_resource(movement, head=heads.get(movement.chain_id))


def movement_with_attempts(movement: Transaction | Deposit, heads: Mapping[int, BlockRef]) -> Resource:
    """The same, an outgoing one with its attempts."""
    resource = movement_resource(movement, heads)
    if isinstance(movement, Transaction):
        resource["attempts"] = [attempt_resource(attempt) for attempt in movement.attempts]
    return resource


def wallet_with_balances(custody: Custody, wallet_id: str, *, live: bool) -> Resource:
    """A wallet with what it holds."""
    wallet = custody.wallets.get(wallet_id)
    balances = custody.wallets.balances(wallet.id, live=live)
    return {**wallet_resource(wallet), "balances": [balance_resource(each) for each in balances]}


def preview_resource(preview: Preview) -> Resource:
    """What a send would cost and whether it would be accepted."""
    return {
        "asset": preview.asset.alias,
        "asset_id": preview.asset.caip19,
        "amount": str(preview.amount),
        "decimals": preview.asset.decimals,
        "formatted": format_units(preview.amount, preview.asset.decimals),
        "gas_limit": str(preview.gas_limit),
        "fee_per_gas_max_wei": str(preview.fee_per_gas_max_wei),
        "fee_hold_wei": str(preview.fee_hold_wei),
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
        "head": status.head_number,
        "followed": block_resource(state.cursor),
        "final": block_resource(state.final),
        "lag_blocks": status.lag_blocks,
        "halted": state.halted_reason is not None,
        "halted_reason": state.halted_reason,
    }


def reconciliation_resource(found: Reconciliation) -> Resource:
    """The verdicts. `block` is the final block at which the books were compared; by chain id where there are several chains."""
    blocks = {chain_text(chain_id): block_resource(block) for chain_id, block in found.blocks.items()}
    return {
        "ok": found.ok,
        "block": next(iter(blocks.values())) if len(blocks) == 1 else blocks,
        "checks": [{"id": check.id, "ok": check.ok, "violations": list(check.violations)} for check in found.checks],
    }
