"""What the replayed chain holds for a service: its addresses, its tokens, the deposits that are to be found, and what only looks
like one. Everything follows from a seed.
"""

from __future__ import annotations

import random
from enum import StrEnum

import attrs

CHAIN_ID = 1
PERIOD = 60
"""In every so many blocks there are `DEPOSITS` of either kind, and `LOOK_ALIKES` of each of theirs."""
DEPOSITS = 20
LOOK_ALIKES = 10
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
    counts = {kind: DEPOSITS if kind in TRUE_ONES else LOOK_ALIKES for kind in Kind}
    planned = [
        Planned(kind, chance.randint(first, min(first + PERIOD - 1, blocks)), chance.choice(managed))
        for first in range(1, blocks + 1, PERIOD)
        for kind, count in counts.items()
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
