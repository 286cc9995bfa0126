"""What a wallet may spend now."""

from __future__ import annotations

from custody_core.domain.ledger import WalletAccounts
from custody_core.domain.tokens import NATIVE_ALIAS, Asset
from custody_core.ports import Unit


def available_for(unit: Unit, wallet_id: str, asset: Asset) -> tuple[int, int]:
    """What may be spent: of the asset, and of the native asset."""
    available = unit.balance(WalletAccounts(asset.chain_id, asset.key, wallet_id).available)
    if asset.is_native:
        return available, available
    return available, unit.balance(WalletAccounts(asset.chain_id, NATIVE_ALIAS, wallet_id).available)
