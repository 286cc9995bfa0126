"""The public form of each resource: what HTTP answers, events and `--json` show, made in one place.

Rules of this file

1. Amounts are decimal strings of base units, with `decimals` and `formatted` beside them. Times are RFC 3339 in UTC.
2. A resource shows no key material, no attempt's raw bytes and nothing of another owner.
3. Fields are added, never renamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import attrs

from custody_core.domain.access import ApiKey, User
from custody_core.domain.addresses import address_from_bytes
from custody_core.domain.chain import BlockRef
from custody_core.domain.deposit import Deposit, DepositState
from custody_core.domain.money import format_units
from custody_core.domain.tokens import Asset, Token
from custody_core.domain.transaction import Attempt, Transaction
from custody_core.domain.wallet import Wallet

Resource = dict[str, object]


@attrs.frozen
class OnChain:
    """A balance as a node showed it."""

    amount: int
    block: BlockRef
    age_s: int


@attrs.frozen
class Balance:
    """One asset of one wallet on one chain, in base units. `total` is what the books hold; `pending_in` is on its way and in
    none of them.
    """

    asset: Asset
    available: int
    reserved: int
    quarantined: int
    pending_in: int
    as_of_block: BlockRef
    on_chain: OnChain | None = None

    @property
    def total(self) -> int:
        """All that is held for the owner, spendable or not."""
        return self.available + self.reserved + self.quarantined


def time_text(moment: datetime) -> str:
    """RFC 3339, UTC, microseconds where there are any."""
    return moment.isoformat().replace("+00:00", "Z")


def chain_text(chain_id: int) -> str:
    """The CAIP-2 id of an EVM chain."""
    return f"eip155:{chain_id}"


def block_resource(block: BlockRef) -> Resource:
    """A block."""
    return {"number": block.number, "hash": block.hash, "timestamp": time_text(block.timestamp)}


def wallet_resource(wallet: Wallet) -> Resource:
    """A wallet, as its owner sees it."""
    return {
        "id": wallet.id,
        "address": wallet.address,
        "owner": wallet.owner_id,
        "label": wallet.label,
        "state": str(wallet.state),
        "reason": wallet.state_reason,
        "frozen_by": _frozen_by(wallet),
        "external_id": wallet.external_id,
        "metadata": dict(wallet.metadata),
        "version": wallet.version,
        "created_at": time_text(wallet.created_at),
        "updated_at": time_text(wallet.updated_at),
    }


def _frozen_by(wallet: Wallet) -> str | None:
    """Whether the owner can lift the freeze. Who it was among those who run the service is in the audit trail."""
    if wallet.frozen_by is None:
        return None
    return "owner" if wallet.frozen_by == wallet.owner_id else "service"


def user_resource(user: User) -> Resource:
    """A user, as an admin and the user see it."""
    return {
        "id": user.id,
        "issuer": user.issuer,
        "subject": user.subject,
        "role": str(user.role),
        "disabled_at": time_text(user.disabled_at) if user.disabled_at else None,
        "version": user.version,
        "created_at": time_text(user.created_at),
    }


def api_key_resource(key: ApiKey) -> Resource:
    """An API key, without its secret."""
    return {
        "id": key.id,
        "user_id": key.user_id,
        "name": key.name,
        "scopes": sorted(str(scope) for scope in key.scopes),
        "expires_at": time_text(key.expires_at) if key.expires_at else None,
        "revoked_at": time_text(key.revoked_at) if key.revoked_at else None,
        "created_at": time_text(key.created_at),
    }


def transaction_resource(transaction: Transaction, *, head: BlockRef | None = None) -> Resource:
    """An outgoing transaction. `head` is the newest block that we follow, for the count of confirmations."""
    inclusion = transaction.inclusion
    return {
        "id": transaction.id,
        "direction": "outgoing",
        "type": transaction.type,
        "state": str(transaction.state),
        "version": transaction.version,
        "wallet_id": transaction.wallet_id,
        **_amount_fields(transaction.asset, transaction.amount),
        "from": transaction.sender,
        "to": transaction.to,
        "data": "0x" + transaction.data.hex() if transaction.data else None,
        "access_list": [
            {"address": address_from_bytes(address), "storageKeys": ["0x" + key.hex() for key in keys]}
            for address, keys in transaction.access_list
        ],
        "hash": transaction.hash,
        "nonce": transaction.nonce,
        "block": block_resource(inclusion.block) if inclusion else None,
        "confirmations": _confirmations(inclusion.block if inclusion else None, head),
        "fee": _fee(transaction),
        "policy": {
            "decision": transaction.policy_verdict,
            "policy_id": transaction.policy_ids[0] if transaction.policy_ids else None,
            "rules": list(transaction.policy_rules),
        },
        "approval_id": None,
        "reason": transaction.reason,
        "waiting_for": transaction.parked_reason,
        "stuck": str(transaction.stuck) if transaction.stuck else None,
        "cancel_requested_at": time_text(transaction.cancel_requested_at) if transaction.cancel_requested_at else None,
        "speed_up_requested_at": time_text(transaction.speed_up_requested_at) if transaction.speed_up_requested_at else None,
        "external_id": transaction.external_id,
        "metadata": dict(transaction.metadata),
        "created_at": time_text(transaction.created_at),
        "updated_at": time_text(transaction.updated_at),
    }


def attempt_resource(attempt: Attempt) -> Resource:
    """One signed version of an outgoing transaction, without its bytes."""
    return {
        "id": attempt.id,
        "kind": str(attempt.kind),
        "state": str(attempt.state),
        "hash": attempt.hash,
        "fee_per_gas_max_wei": str(attempt.fees.max_fee_per_gas_wei),
        "priority_fee_per_gas_max_wei": str(attempt.fees.max_priority_fee_per_gas_wei),
        "created_at": time_text(attempt.planned_at),
    }


def deposit_resource(deposit: Deposit, *, head: BlockRef | None = None) -> Resource:
    """An incoming transaction."""
    shown = None if deposit.state is DepositState.ORPHANED else deposit.block
    return {
        "id": deposit.id,
        "direction": "incoming",
        "state": str(deposit.state),
        "version": deposit.version,
        "wallet_id": deposit.wallet_id,
        **_amount_fields(deposit.asset, deposit.key.amount),
        "from": deposit.key.sender,
        "to": deposit.key.to,
        "hash": deposit.key.transaction_hash,
        "block": block_resource(shown) if shown else None,
        "confirmations": _confirmations(shown, head),
        "reason": deposit.reason,
        "created_at": time_text(deposit.created_at),
        "updated_at": time_text(deposit.updated_at),
    }


def balance_resource(balance: Balance) -> Resource:
    """One line of a wallet's balances."""
    seen = balance.on_chain
    return {
        "chain": chain_text(balance.asset.chain_id),
        "asset": balance.asset.alias,
        "asset_id": balance.asset.caip19,
        "decimals": balance.asset.decimals,
        "total": str(balance.total),
        "available": str(balance.available),
        "reserved": str(balance.reserved),
        "pending_in": str(balance.pending_in),
        "quarantined": str(balance.quarantined),
        "formatted": format_units(balance.total, balance.asset.decimals),
        "as_of_block": block_resource(balance.as_of_block),
        "on_chain": {"amount": str(seen.amount), "block": block_resource(seen.block), "age_s": seen.age_s} if seen else None,
    }


def token_resource(token: Token) -> Resource:
    """A listed token."""
    return {
        "id": token.id,
        "chain": chain_text(token.asset.chain_id),
        "address": token.asset.contract,
        "asset_id": token.asset.caip19,
        "alias": token.asset.alias,
        "decimals": token.asset.decimals,
        "symbol": token.symbol,
        "name": token.name,
        "state": str(token.state),
        "dust": str(token.dust),
        "created_at": time_text(token.created_at),
    }


def _amount_fields(asset: Asset, amount: int) -> Mapping[str, object]:
    return {
        "chain": chain_text(asset.chain_id),
        "asset": asset.alias,
        "asset_id": asset.caip19,
        "amount": str(amount),
        "decimals": asset.decimals,
        "formatted": format_units(amount, asset.decimals),
    }


def _confirmations(block: BlockRef | None, head: BlockRef | None) -> int:
    return max(head.number - block.number + 1, 0) if block and head else 0


def _fee(transaction: Transaction) -> Resource | None:
    inclusion = transaction.inclusion
    if inclusion is None:
        return None
    return {
        "asset": "eth",
        "amount": str(inclusion.fee_wei),
        "gas_used": str(inclusion.gas_used),
        "fee_per_gas_wei": str(inclusion.effective_gas_price_wei),
    }
