"""Nonces.

Rules of this file

1. A nonce is reserved for one transaction, in that transaction's row, and stays its own for ever. Nothing is recycled, so no gap
   can open and no second payment can take the place of the first.
2. The books decide which nonce is next, never the chain.
3. A node that knows more transactions of an address than were ever reserved means that somebody else signs with this key, or that
   these books are older than the chain (a restored backup): stop, never overwrite.
4. Only what is final on the chain moves a line past a nonce that was not reserved here.
"""

from __future__ import annotations

import attrs

from custody_core.domain.addresses import Address
from custody_core.domain.chain import BlockRef, Hash

IN_FLIGHT_MAX = 8
"""Transactions of one wallet that may hold a nonce and not be final. Nodes keep at least 16 pending ones per account; half of
that leaves room for what another client of the same node sent."""


@attrs.frozen
class ForeignUse:
    """A transaction in a canonical block that spends a nonce of a managed address and is none of our attempts."""

    chain_id: int
    address: Address
    nonce: int
    hash: Hash
    block: BlockRef


@attrs.frozen
class NonceLine:
    """The next free nonce of one address on one chain."""

    chain_id: int
    address: Address
    next_nonce: int


def open_line(chain_id: int, address: Address) -> NonceLine:
    """The first line of an address: its key was made here, so nobody has ever signed with it."""
    return NonceLine(chain_id, address, 0)


def reserve(line: NonceLine) -> tuple[int, NonceLine]:
    """The next nonce, and the line without it."""
    return line.next_nonce, attrs.evolve(line, next_nonce=line.next_nonce + 1)


def moved_past(line: NonceLine, use: ForeignUse) -> NonceLine:
    """The line, no longer offering a nonce that somebody else has used for good."""
    return attrs.evolve(line, next_nonce=max(line.next_nonce, use.nonce + 1))


def used_elsewhere(line: NonceLine, *, count: int) -> bool:
    """Whether a node knows more from this address (`count`: mined, or mined and pending) than we ever reserved."""
    return count > line.next_nonce
