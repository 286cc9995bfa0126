"""What a unit can do with nonces, our own and those that somebody else has used."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from custody_core.domain.addresses import Address
from custody_core.domain.chain import Hash
from custody_core.domain.nonce import ForeignUse, NonceLine


class NonceUnit(Protocol):
    """Lines of nonces, and foreign uses; see `Unit`."""

    def nonce_lines(self, chain_id: int, addresses: Iterable[Address]) -> Mapping[Address, NonceLine]: ...
    def put_nonce_lines(self, lines: Sequence[NonceLine]) -> None:
        """Saves the lines. `Conflict` for one that would go backward."""
        ...

    def put_foreign_uses(self, uses: Sequence[ForeignUse]) -> None:
        """Keeps the uses, unsettled; one that is known moves to its new block."""
        ...

    def unsettled_foreign_uses(self, chain_id: int, *, up_to: int | None = None) -> Sequence[ForeignUse]:
        """Those that were not settled yet, in blocks at or below a height, by height and nonce."""
        ...

    def known_foreign_uses(self, chain_id: int, hashes: Iterable[Hash]) -> Collection[Hash]:
        """Those of `hashes` that are kept, settled or not."""
        ...

    def settle_foreign_uses(self, chain_id: int, hashes: Sequence[Hash]) -> None:
        """They are final, and what follows from them was done."""
        ...

    def remove_foreign_uses(self, chain_id: int, *, above: int) -> None:
        """Forgets the unsettled ones above a height (a reorganisation)."""
        ...
