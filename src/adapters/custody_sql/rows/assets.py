"""Assets, as several tables keep them: `chain_id`, `asset` (the key), `alias`, `decimals`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from custody_core.domain.addresses import Address
from custody_core.domain.tokens import NATIVE_ALIAS, Asset


def to_asset(row: Row[Any]) -> Asset:
    """The asset of a row."""
    contract = None if row.asset == NATIVE_ALIAS else Address(row.asset)
    return Asset(row.chain_id, contract, row.alias, row.decimals)
