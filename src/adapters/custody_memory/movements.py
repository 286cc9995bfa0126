"""What lists of transactions of both directions have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from custody_core.domain.deposit import Deposit
from custody_core.domain.transaction import Transaction
from custody_core.ports import MovementFilter

M = TypeVar("M", Transaction, Deposit)


def newest_first(
    movements: Iterable[M], wanted: MovementFilter, *, owner_of: Callable[[M], str | None], limit: int, before_id: str | None
) -> list[M]:
    """Those that `wanted` is about, but for their external id, which deposits do not have."""
    found = [
        movement
        for movement in movements
        if (wanted.owner_id is None or owner_of(movement) == wanted.owner_id)
        and (wanted.wallet_id is None or movement.wallet_id == wanted.wallet_id)
        and (wanted.state is None or movement.state == wanted.state)
        and (wanted.asset is None or movement.asset.alias == wanted.asset)
        and (wanted.created_since is None or movement.created_at >= wanted.created_since)
        and (before_id is None or movement.id < before_id)
    ]
    return sorted(found, key=lambda movement: movement.id, reverse=True)[:limit]
