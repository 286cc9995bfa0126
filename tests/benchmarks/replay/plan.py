"""What the replayed chain holds for a service: its addresses, its tokens, the deposits that are to be found, and what only looks
like one. Everything follows from a seed.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from enum import StrEnum

import attrs
from coincurve import PrivateKey, PublicKey

from custody_core.domain.encoding import keccak256

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
    Kind.FAILED: 15,
    Kind.NO_VALUE: 15,
    Kind.NO_TOKENS: 15,
    Kind.NOT_FUNGIBLE: 15,
    Kind.UNLISTED: 14,
    # What a managed key has signed without this service stops a wallet and raises an alarm: it is to be seen, and rare.
    Kind.TO_ITSELF: 2,
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
    keys: Mapping[bytes, PrivateKey]
    """Of the managed addresses: what they send has to be signed."""
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

    keys = {address_of(key.public_key): key for key in (PrivateKey(chance.randbytes(32)) for _ in range(MANAGED))}
    managed = tuple(keys)
    planned = [
        Planned(kind, chance.randint(first, min(first + PERIOD - 1, blocks)), chance.choice(managed))
        for first in range(1, blocks + 1, PERIOD)
        for kind, count in COUNTS.items()
        for _ in range(count)
    ]
    return Plan(
        seed=seed,
        blocks=blocks,
        keys=keys,
        managed=managed,
        listed=addresses(LISTED),
        unlisted=addresses(UNLISTED),
        collections=addresses(COLLECTIONS),
        others=addresses(OTHERS),
        strangers=addresses(STRANGERS),
        planned=tuple(planned),
    )


def address_of(public: PublicKey) -> bytes:
    """The last 20 bytes of the hash of both coordinates."""
    return keccak256(public.format(compressed=False)[1:])[12:]
