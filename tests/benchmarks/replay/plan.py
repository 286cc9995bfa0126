"""What the replayed chain holds for a service: its addresses, its tokens, the deposits that are to be found, and what only looks
like one. Everything follows from a seed.
"""

from __future__ import annotations

import random
from enum import StrEnum

import attrs

CHAIN_ID = 1
PERIOD = 60
"""In every so many blocks there is each kind of transaction as often as `COUNTS` says: 40 deposits, 80 that only look like one."""
MANAGED, LISTED, UNLISTED, COLLECTIONS, OTHERS, STRANGERS = 1000, 12, 20, 8, 60, 5000


class Kind(StrEnum):
    """What a planned transaction is."""

    NATIVE = "native"
    TOKEN = "token"
    FAILED = "failed"
    NO_VALUE = "no-value"
    NO_TOKENS = "no-tokens"
    NOT_FUNGIBLE = "not-fungible"
    UNLISTED = "unlisted"
    OUTGOING = "outgoing"
    OUTGOING_TOKEN = "outgoing-token"
    TO_ITSELF = "to-itself"


TRUE_ONES = (Kind.NATIVE, Kind.TOKEN)
COUNTS = {
    Kind.NATIVE: 20,
    Kind.TOKEN: 20,
    Kind.FAILED: 13,
    Kind.NO_VALUE: 13,
    Kind.NO_TOKENS: 13,
    Kind.NOT_FUNGIBLE: 13,
    Kind.UNLISTED: 12,
    Kind.TO_ITSELF: 12,
    # What a managed key has signed without this service stops a wallet and raises an alarm: it is to be seen, and rare.
    Kind.OUTGOING: 2,
    Kind.OUTGOING_TOKEN: 2,
}


@attrs.frozen
class Planned:
    """One transaction that concerns a managed address, in the block with that number."""

    kind: Kind
    block: int
    managed: bytes


@attrs.frozen
class Plan:
    """Who and what there is. Addresses are 20 bytes."""

    seed: int
    blocks: int
    managed: tuple[bytes, ...]
    listed: tuple[bytes, ...]
    unlisted: tuple[bytes, ...]
    collections: tuple[bytes, ...]
    others: tuple[bytes, ...]
    strangers: tuple[bytes, ...]
    planned: tuple[Planned, ...]


def make_plan(seed: int, blocks: int) -> Plan:
    """The plan of blocks 1 to `blocks`."""
    chance = random.Random(seed)

    def addresses(count: int) -> tuple[bytes, ...]:
        return tuple(chance.randbytes(20) for _ in range(count))

    managed = addresses(MANAGED)
    planned = [
        Planned(kind, chance.randint(first, min(first + PERIOD - 1, blocks)), chance.choice(managed))
        for first in range(1, blocks + 1, PERIOD)
        for kind, count in COUNTS.items()
        for _ in range(count)
    ]
    return Plan(
        seed=seed,
        blocks=blocks,
        managed=managed,
        listed=addresses(LISTED),
        unlisted=addresses(UNLISTED),
        collections=addresses(COLLECTIONS),
        others=addresses(OTHERS),
        strangers=addresses(STRANGERS),
        planned=tuple(planned),
    )
