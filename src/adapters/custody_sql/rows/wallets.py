"""Wallets and sealed keys."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from custody_core.domain.addresses import Address
from custody_core.domain.wallet import SealedKey, Wallet, WalletState


def wallet_row(wallet: Wallet) -> dict[str, Any]:
    return {
        "id": wallet.id,
        "address": wallet.address,
        "sequence": wallet.sequence,
        "created_at": wallet.created_at,
        "updated_at": wallet.updated_at,
        "state": wallet.state.value,
        "state_reason": wallet.state_reason,
        "frozen_by": wallet.frozen_by,
        "owner_id": wallet.owner_id,
        "label": wallet.label,
        "external_id": wallet.external_id,
        "metadata": dict(wallet.metadata),
        "version": wallet.version,
    }


def to_wallet(row: Row[Any]) -> Wallet:
    return Wallet(
        id=row.id,
        address=Address(row.address),
        sequence=row.sequence,
        created_at=row.created_at,
        updated_at=row.updated_at,
        state=WalletState(row.state),
        state_reason=row.state_reason,
        frozen_by=row.frozen_by,
        owner_id=row.owner_id,
        label=row.label,
        external_id=row.external_id,
        metadata=row.metadata,
        version=row.version,
    )


def sealed_key_row(key: SealedKey) -> dict[str, Any]:
    return {"wallet_id": key.wallet_id, "address": key.address, "key_version": key.key_version, "sealed": key.sealed}


def to_sealed_key(row: Row[Any]) -> SealedKey:
    return SealedKey(row.wallet_id, Address(row.address), row.key_version, bytes(row.sealed))
