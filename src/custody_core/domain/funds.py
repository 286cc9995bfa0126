"""Whether what is available covers a send: the amount, and the most that gas can cost. Base units throughout."""

from __future__ import annotations

from custody_core.domain.tokens import NATIVE_ALIAS, Asset
from custody_core.errors import InsufficientFunds


def shortfall(amount: int, hold: int, asset: Asset, available: int, native: int) -> tuple[str, int, int] | None:
    """(asset, available, required) of what is short, or None."""
    required = amount + hold if asset.is_native else amount
    if available < required:
        return asset.alias, available, required
    if native < hold:
        return NATIVE_ALIAS, native, hold
    return None


def require_funds(amount: int, hold: int, asset: Asset, available: int, native: int) -> None:
    """Raises `InsufficientFunds` with what is available and what is required of the asset that is short."""
    short = shortfall(amount, hold, asset, available, native)
    if short is not None:
        alias, have, required = short
        raise InsufficientFunds(
            f"the wallet has {have} base units of {alias} available; this needs {required}, with the most that gas can cost",
            asset=alias,
            available=str(have),
            required=str(required),
        )
