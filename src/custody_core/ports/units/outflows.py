"""What a unit can do with movements that nothing in the books asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from custody_core.domain.chain import Hash
from custody_core.domain.outflow import Outflow


class OutflowUnit(Protocol):
    """Outflows until they are booked; see `Unit`."""

    def put_outflows(self, outflows: Sequence[Outflow]) -> None:
        """Keeps them, to be booked; one that is known, by chain, transaction hash and ordinal, moves to its new block."""
        ...

    def outflows(self, chain_id: int, *, up_to: int) -> Sequence[Outflow]:
        """Those that were not booked yet, in blocks at or below a height, by height, transaction hash and ordinal."""
        ...

    def outflows_of(self, chain_id: int, transaction_hashes: Iterable[Hash]) -> Sequence[Outflow]:
        """Those that these transactions made, booked or not, by transaction hash and ordinal."""
        ...

    def settle_outflows(self, outflows: Sequence[Outflow]) -> None:
        """They are booked."""
        ...

    def remove_outflows(self, chain_id: int, *, above: int) -> None:
        """Forgets those above a height that were not booked yet (a reorganisation)."""
        ...
