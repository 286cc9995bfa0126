"""The addresses that are ours, held so that a block's few hundred candidates are tested quickly.

Rules of this file

1. Up to `SET_MAX` addresses are held whole, and every answer is exact.
2. Above that, all but the newest are held by their first 8 bytes alone, in order: 8 bytes of memory each, however many there are. A
   "no" is still exact. A "yes" may be another address that begins alike, so whoever acts on it asks the store first. With ten
   million addresses chance makes one such mistake in four billion blocks, and whoever wants one on purpose has to try 2^40 keys.
3. Nothing that is added is ever left out, and nothing is taken away.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Final, Self

from custody_core.domain.addresses import Address, address_to_bytes

SET_MAX: Final = 65_536
NEWEST_MAX: Final = 8_192
"""Beside the prefixes, up to so many are held whole: folding each in by itself would move half of the others every time."""

_PREFIX_BYTES: Final = 8


class ManagedAddresses:
    """Addresses as 20 raw bytes. `sequence` is the highest wallet sequence taken in; the set only grows."""

    def __init__(self) -> None:
        self._newest: set[bytes] = set()
        self._prefixes = array("Q")
        self.sequence = 0

    @classmethod
    def exactly(cls, addresses: Iterable[bytes], *, sequence: int) -> Self:
        """These, held whole however many they are."""
        made = cls()
        made._newest = set(addresses)
        made.sequence = sequence
        return made

    @property
    def is_exact(self) -> bool:
        """Whether a "yes" needs no second look."""
        return not self._prefixes

    def add(self, rows: Iterable[tuple[int, Address]]) -> None:
        """Takes in (sequence, address) rows, in ascending order, each once."""
        for sequence, address in rows:
            self._newest.add(address_to_bytes(address))
            self.sequence = sequence
        if len(self._newest) > (NEWEST_MAX if self._prefixes else SET_MAX):
            self._fold()

    def __contains__(self, address: bytes | None) -> bool:
        if address in self._newest:
            return True
        return bool(self._prefixes) and address is not None and self._has_prefix(address)

    def hits(self, column: Sequence[bytes | None]) -> Sequence[int]:
        """The places in `column` of what seems to be ours."""
        if self._prefixes:
            return [index for index, address in enumerate(column) if address in self]
        found = self._newest.intersection(column)
        return [index for index, address in enumerate(column) if address in found] if found else ()

    def _has_prefix(self, address: bytes) -> bool:
        prefix = int.from_bytes(address[:_PREFIX_BYTES], "big")
        at = bisect_left(self._prefixes, prefix)
        return at < len(self._prefixes) and self._prefixes[at] == prefix

    def _fold(self) -> None:
        """Merges the newest into the prefixes, in place and from the top down, so that no second copy is ever needed."""
        fresh = sorted(int.from_bytes(address[:_PREFIX_BYTES], "big") for address in self._newest)
        end, gap = len(self._prefixes), len(fresh)
        self._prefixes.extend(fresh)
        with memoryview(self._prefixes) as merged:
            while gap:
                # What is above the highest fresh one moves up by as many places as there are fresh ones left.
                prefix = fresh[gap - 1]
                at = bisect_right(merged, prefix, 0, end)
                merged[at + gap : end + gap] = merged[at:end]
                gap -= 1
                merged[at + gap] = prefix
                end = at
        self._newest = set()
