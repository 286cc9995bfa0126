"""Nonces: the lines of managed addresses, and what somebody else has used."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from custody_core.domain.addresses import Address
from custody_core.domain.chain import Hash
from custody_core.domain.nonce import ForeignUse, NonceLine
from custody_memory.tables import Tables


class NonceRows:
    """The part of a unit that keeps nonces."""

    _tables: Tables

    def nonce_lines(self, chain_id: int, addresses: Iterable[Address]) -> Mapping[Address, NonceLine]:
        found = self._tables.nonce_lines.some([(chain_id, address) for address in addresses])
        return {address: line for (_, address), line in found.items()}

    def put_nonce_lines(self, lines: Sequence[NonceLine]) -> None:
        for line in lines:
            stored = self._tables.nonce_lines.get((line.chain_id, line.address))
            if stored is not None and line.next_nonce < stored.next_nonce:
                self._tables.mode.refuse("a nonce line never goes back")
            self._tables.nonce_lines.put((line.chain_id, line.address), line)

    def put_foreign_uses(self, uses: Sequence[ForeignUse]) -> None:
        for use in uses:
            self._tables.settled_foreign_uses.discard((use.chain_id, use.hash))
            self._tables.foreign_uses.put((use.chain_id, use.hash), use)

    def unsettled_foreign_uses(self, chain_id: int, *, up_to: int | None = None) -> Sequence[ForeignUse]:
        found = [
            use for use in self._tables.foreign_uses if use.chain_id == chain_id and (up_to is None or use.block.number <= up_to)
        ]
        return sorted(found, key=lambda use: (use.block.number, use.nonce))

    def known_foreign_uses(self, chain_id: int, hashes: Iterable[Hash]) -> Collection[Hash]:
        tables = (self._tables.foreign_uses, self._tables.settled_foreign_uses)
        return {hash_ for hash_ in hashes if any((chain_id, hash_) in table for table in tables)}

    def settle_foreign_uses(self, chain_id: int, hashes: Sequence[Hash]) -> None:
        for key, use in self._tables.foreign_uses.some((chain_id, hash_) for hash_ in hashes).items():
            self._tables.foreign_uses.discard(key)
            self._tables.settled_foreign_uses.put(key, use)

    def remove_foreign_uses(self, chain_id: int, *, above: int) -> None:
        for use in self.unsettled_foreign_uses(chain_id):
            if use.block.number > above:
                self._tables.foreign_uses.discard((chain_id, use.hash))
