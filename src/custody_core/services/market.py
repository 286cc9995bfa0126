"""Asking a chain what gas costs now."""

from __future__ import annotations

from collections.abc import Mapping

from custody_core.domain.fees import FeeQuote, quote
from custody_core.errors import FeeUnavailable
from custody_core.ports import Chain, Clock, Found

RECENT_S = 1.0
"""How old a quote may be where a send is only weighed: a twelfth of a block on Ethereum. What is signed is quoted anew."""


def market_now(chain: Chain) -> FeeQuote:
    """The chain's fees now. Raises `FeeUnavailable` where no node gives any that make sense."""
    answer = chain.fee_history()
    if not isinstance(answer, Found):
        raise FeeUnavailable("the node gives no fees; try again")
    return quote(answer.value)


class RecentMarkets:
    """Quotes that are kept for a moment, so that a thousand requests in one second do not ask a thousand times."""

    def __init__(self, chains: Mapping[int, Chain], clock: Clock) -> None:
        self._chains = chains
        self._clock = clock
        self._quotes: dict[int, tuple[float, FeeQuote]] = {}

    def quote(self, chain_id: int) -> FeeQuote:
        """The chain's fees, at most `RECENT_S` old. Raises `FeeUnavailable`, which is not kept."""
        now_s = self._clock.monotonic_s()
        asked_s, known = self._quotes.get(chain_id, (0.0, None))
        if known is None or now_s - asked_s >= RECENT_S:
            known = market_now(self._chains[chain_id])
            self._quotes[chain_id] = (now_s, known)
        return known
