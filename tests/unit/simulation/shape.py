"""What a story is like before anything happens in it: how many nodes, what final means, which tokens, how units run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from custody_core import Limits
from tests.unit.simulation.chance import Streams
from tests.unit.simulation.site import CHAIN_ID, LIMITS

FINALITY_LAG: Final = 4
INTERLEAVED: Final = 0.5
"""The share of stories whose units are interleaved statement by statement."""
CROSS_CHECKED: Final = 0.5
"""The share of stories with several nodes in which two of them have to agree about every block."""
BY_DEPTH: Final = 0.25
"""The share of stories in which a depth says what is final, and no tag."""
DEPTHS: Final = (3, 5, 12)
ODD_TOKEN: Final = 0.35
"""The share of stories with a token whose balances are not always what its events say."""
TINY: Final = 0.2
"""The share of stories in which addresses are held as a very large service holds them."""
DUSTY: Final = 0.3
"""The share of stories in which ether below a threshold is kept from its owner."""
DUST_WEI: Final = 10


@attrs.frozen(kw_only=True)
class Shape:
    """The shape of one story. `cross_check_min_wei` and `confirmations` are those of `Limits`, the latter None for tags."""

    views: int
    is_interleaved: bool
    cross_check_min_wei: int | None = None
    confirmations: int | None = None
    has_odd_token: bool = False
    is_tiny: bool = False
    dust_wei: int = 0

    @property
    def finality_lag(self) -> int:
        """By how many blocks the newest final one is behind the newest."""
        return FINALITY_LAG if self.confirmations is None else self.confirmations - 1

    @property
    def minimum_wei(self) -> int | None:
        """From this amount on two nodes have to agree, where there are two."""
        return self.cross_check_min_wei if self.views > 1 else None

    @property
    def limits(self) -> Limits:
        """What is set in the service."""
        return attrs.evolve(
            LIMITS,
            cross_check_min_wei=self.minimum_wei,
            confirmations={} if self.confirmations is None else {CHAIN_ID: self.confirmations},
            dust_wei=self.dust_wei,
        )

    def told(self) -> str:
        """In words."""
        agree = "" if self.minimum_wei is None else f", two of which agree from {self.minimum_wei} wei on"
        units = "units interleave" if self.is_interleaved else "units are serial"
        return ", ".join((f"{self.views} nodes{agree}", units, *self._oddities()))

    def _oddities(self) -> Iterator[str]:
        if self.confirmations is not None:
            yield f"final is what is {self.confirmations} deep"
        if self.has_odd_token:
            yield "a token is not what its events say"
        if self.is_tiny:
            yield "addresses are held by their first bytes"
        if self.dust_wei:
            yield f"less than {self.dust_wei} wei is dust"


def drawn(streams: Streams) -> Shape:
    """The shape of a seed's story. Each part has a stream of its own, but for the first two."""
    shape, finality = streams.stream("shape"), streams.stream("finality")
    return Shape(
        views=shape.choice((1, 1, 2, 3)),
        is_interleaved=shape.random() < INTERLEAVED,
        cross_check_min_wei=_minimum(streams),
        confirmations=finality.choice(DEPTHS) if finality.random() < BY_DEPTH else None,
        has_odd_token=streams.stream("tokens").random() < ODD_TOKEN,
        is_tiny=streams.stream("addresses").random() < TINY,
        dust_wei=DUST_WEI if streams.stream("dust").random() < DUSTY else 0,
    )


def _minimum(streams: Streams) -> int | None:
    chance = streams.stream("cross-check")
    return chance.choice((0, 10**17)) if chance.random() < CROSS_CHECKED else None
