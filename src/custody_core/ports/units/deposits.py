"""What a unit can do with incoming transactions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from custody_core.domain.deposit import Deposit, DepositKey
from custody_core.ports.units.movements import MovementFilter


class DepositUnit(Protocol):
    """Incoming transactions; see `Unit`."""

    def deposits_by_key(self, keys: Sequence[DepositKey]) -> Mapping[DepositKey, Deposit]: ...
    def add_deposits(self, deposits: Sequence[Deposit]) -> None: ...
    def save_deposits(self, deposits: Sequence[Deposit]) -> None: ...
    def deposit(self, deposit_id: str) -> Deposit | None: ...
    def deposits(self, wanted: MovementFilter, *, limit: int, before_id: str | None = None) -> Sequence[Deposit]:
        """Newest id first."""
        ...

    def confirming_deposits(self, chain_id: int, *, above: int | None = None, up_to: int | None = None) -> Sequence[Deposit]:
        """Those in `confirming` whose block is above / at or below a height, by height and id."""
        ...

    def pending_in(self, wallet_id: str) -> Mapping[tuple[int, str], int]:
        """(chain id, asset key) → base units of this wallet's deposits in `confirming`."""
        ...
