"""Asking a chain what gas costs now."""

from __future__ import annotations

from custody_core.domain.fees import FeeQuote, quote
from custody_core.errors import FeeUnavailable
from custody_core.ports import Chain, Found
from custody_core.services.behind import why_behind
from custody_core.services.kit import Kit

RECENT_S = 1.0
"""How old a quote may be where a send is only weighed: a twelfth of a block on Ethereum. What is signed is quoted anew."""


def market_now(kit: Kit, chain: Chain) -> FeeQuote:
    """The chain's fees now. Raises `FeeUnavailable` where no node gives any that make sense, or all are behind: what they say is of
    the past, and a send that is made by it may never be mined.
    """
    if why_behind(kit, chain.chain_id, chain.synced_head()) is not None:
        raise FeeUnavailable("the node is silent, or behind its chain, so its fees are not those of now; try again")
    answer = chain.fee_history()
    if not isinstance(answer, Found):
        raise FeeUnavailable("the node gives no fees; try again")
    return quote(answer.value)


class RecentMarkets:
    """Quotes that are kept for a moment, so that a thousand requests in one second do not ask a thousand times."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._quotes: dict[int, tuple[float, FeeQuote]] = {}

    def quote(self, chain_id: int) -> FeeQuote:
        """The chain's fees, at most `RECENT_S` old. Raises `FeeUnavailable`, which is not kept."""
        now_s = self._kit.clock.monotonic_s()
        asked_s, known = self._quotes.get(chain_id, (0.0, None))
        if known is None or now_s - asked_s >= RECENT_S:
            known = market_now(self._kit, self._kit.chains[chain_id])
            self._quotes[chain_id] = (now_s, known)
        return known
