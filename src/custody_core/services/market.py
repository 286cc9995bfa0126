"""Asking a chain what gas costs now."""

from __future__ import annotations

from custody_core.domain.fees import FeeQuote, quote
from custody_core.errors import FeeUnavailable
from custody_core.ports import Chain, Found


def market_now(chain: Chain) -> FeeQuote:
    """The chain's fees now. Raises `FeeUnavailable` where no node gives any that make sense."""
    answer = chain.fee_history()
    if not isinstance(answer, Found):
        raise FeeUnavailable("the node gives no fees; try again")
    return quote(answer.value)
