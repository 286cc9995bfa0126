"""Nonces.

Rules of this file

1. A nonce is reserved for one transaction, in that transaction's row, and stays its own for ever. Nothing is recycled, so no gap
   can open and no second payment can take the place of the first.
2. The books decide which nonce is next. The chain is asked only where the books have no line yet (a key that lived elsewhere
   before).
3. The chain's count of mined transactions above the books' next nonce means that somebody else signs with this key: stop, never
   overwrite.
"""

from __future__ import annotations

import attrs

from custody_core.domain.addresses import Address

IN_FLIGHT_MAX = 8
"""Transactions of one wallet that may hold a nonce and not be final. Nodes keep at least 16 pending ones per account; half of
that leaves room for what another client of the same node sent."""


@attrs.frozen
class NonceLine:
    """The next free nonce of one address on one chain."""

    chain_id: int
    address: Address
    next_nonce: int


def open_line(chain_id: int, address: Address, *, mined_count: int) -> NonceLine:
    """The first line of an address: it goes on where the chain is (`mined_count` is the count at the newest block, not a
    pending one).
    """
    return NonceLine(chain_id, address, mined_count)


def reserve(line: NonceLine) -> tuple[int, NonceLine]:
    """The next nonce, and the line without it."""
    return line.next_nonce, attrs.evolve(line, next_nonce=line.next_nonce + 1)


def used_elsewhere(line: NonceLine, *, mined_count: int) -> bool:
    """Whether the chain has mined more from this address than we ever reserved."""
    return mined_count > line.next_nonce
