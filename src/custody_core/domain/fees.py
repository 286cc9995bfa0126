"""Fees per EIP-1559.

Rules of this file

1. A transaction pays base fee + tip per gas, never more than its `max_fee_per_gas`; the tip is never above that maximum.
2. The cap (`fee_per_gas_max_wei`) is frozen when a transaction is accepted, and the hold is computed from it. No attempt exceeds
   it.
3. A replacement raises both fields by at least 12.5 %, rounded up, over every earlier attempt. Nodes ask for 10 %; rounding a tip
   of 1 wei down would be refused for ever. If that does not fit under the cap, there is no replacement: the old bytes are sent
   again.
4. A node's fee is a claim. What is negative, missing or absurd is refused, not paid.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

import attrs

from custody_core.domain.encoding import AccessList
from custody_core.errors import FeeAboveCap, FeeUnavailable

GWEI = 10**9
ETHER = 10**18

FEE_PER_GAS_SANE_MAX_WEI = 1_000_000 * GWEI
"""Above 10^6 gwei per gas a node is wrong or lying: the highest base fee in Ethereum's history is below a hundredth of it."""

TIP_MIN_WEI = GWEI // 100
"""The tip where history shows none: 0.01 gwei, above the 1 wei that replaced transactions have got stuck on."""

REPLACEMENT_NUMERATOR, REPLACEMENT_DENOMINATOR = 9, 8
"""A replacement costs at least 9/8 of each earlier attempt (12.5 %; geth asks for 10 %, some nodes for 12.5 %)."""

CAP_MULTIPLE = 2
"""The default cap is this many times the first attempt's maximum fee, so that there is room to replace it several times."""

GAS_LIMIT_MAX = 2**24
"""No transaction may ask for more gas (EIP-7825)."""

PLAIN_TRANSFER_GAS = 21_000
"""The gas of a transfer that runs no code (Yellow Paper, G_transaction)."""


class FeeTier(StrEnum):
    """How much of a hurry a send is in."""

    SLOW = "slow"
    NORMAL = "normal"
    FAST = "fast"


TIER_PERCENTILES = {FeeTier.SLOW: 20, FeeTier.NORMAL: 50, FeeTier.FAST: 85}
"""The percentile of recent tips that each tier pays (the `rewardPercentiles` of `eth_feeHistory`, in ascending order)."""


@attrs.frozen
class FeeHistory:
    """The answer of `eth_feeHistory`: the base fee of the next block, and for each recent block its tips at our three
    percentiles.
    """

    base_fee_per_gas_next_wei: int
    tips_wei: Sequence[Sequence[int]]


@attrs.frozen
class FeeQuote:
    """What the market asks now: the next block's base fee and a tip for each tier, in wei per gas."""

    base_fee_per_gas_wei: int
    tip_per_gas_wei: dict[FeeTier, int]


@attrs.frozen
class Fees:
    """The two fee fields of one attempt, in wei per gas."""

    max_fee_per_gas_wei: int
    max_priority_fee_per_gas_wei: int

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.max_priority_fee_per_gas_wei <= self.max_fee_per_gas_wei:
            raise ValueError("the tip lies between 0 and the maximum fee")


def quote(history: FeeHistory) -> FeeQuote:
    """The market's fees from recent history: per tier the median over the blocks of that tier's percentile. Raises
    `FeeUnavailable`.
    """
    values = [history.base_fee_per_gas_next_wei, *(tip for block in history.tips_wei for tip in block)]
    if any(not 0 <= value <= FEE_PER_GAS_SANE_MAX_WEI for value in values):
        raise FeeUnavailable("the node's fee history holds values that no chain has ever had; nothing is sent on that")
    tips = {
        tier: max(_median([block[index] for block in history.tips_wei if len(block) > index]), TIP_MIN_WEI)
        for index, tier in enumerate(TIER_PERCENTILES)
    }
    return FeeQuote(history.base_fee_per_gas_next_wei, tips)


def market_fees(market: FeeQuote, tier: FeeTier) -> Fees:
    """What one attempt should offer: twice the base fee (it can double in about six full blocks) plus the tier's tip."""
    tip = market.tip_per_gas_wei[tier]
    return Fees(2 * market.base_fee_per_gas_wei + tip, tip)


def default_cap(market: FeeQuote, tier: FeeTier, *, ceiling_wei: int) -> int:
    """The cap that a send gets when its caller names none: room for replacements, never above the service's ceiling.

    Raises `FeeAboveCap` when the market alone is above the ceiling.
    """
    offer = market_fees(market, tier).max_fee_per_gas_wei
    if market.base_fee_per_gas_wei + market.tip_per_gas_wei[tier] > ceiling_wei:
        raise FeeAboveCap(
            "the market asks more per gas than this service may pay; wait, or raise MAX_FEE_PER_GAS_WEI",
            pointer="/fee",
            market_wei=str(offer),
            cap_wei=str(ceiling_wei),
        )
    return min(CAP_MULTIPLE * offer, ceiling_wei)


def payment_cap(cap_wei: int) -> int:
    """What payment attempts may offer under a cap: one replacement always fits above it, so a cancellation is always possible."""
    return cap_wei * REPLACEMENT_DENOMINATOR // REPLACEMENT_NUMERATOR


def may_be_mined(cap_wei: int, market: FeeQuote) -> bool:
    """Whether a payment under this cap could be mined now: the base fee has to be paid, a tip as high as others' need not be."""
    return payment_cap(cap_wei) >= market.base_fee_per_gas_wei + TIP_MIN_WEI


def require_cap_above_market(market: FeeQuote, tier: FeeTier, *, cap_wei: int) -> None:
    """Raises `FeeAboveCap` for a cap under which no payment could be mined now: it would only stand in its wallet's way."""
    needed = market.base_fee_per_gas_wei + market.tip_per_gas_wei[tier]
    if payment_cap(cap_wei) < needed:
        raise FeeAboveCap(
            "the market asks more per gas than this request may pay (an eighth is kept for a cancellation)",
            pointer="/fee/fee_per_gas_max_wei",
            market_wei=str(needed),
            cap_wei=str(cap_wei),
        )


def first_fees(market: FeeQuote, tier: FeeTier, *, cap_wei: int) -> Fees:
    """The first attempt's fees: the market's, cut to the cap. Below the market it waits for the base fee to fall."""
    return _cut(market_fees(market, tier), cap_wei)


def replacement_fees(earlier: Iterable[Fees], market: FeeQuote, tier: FeeTier, *, cap_wei: int) -> Fees | None:
    """Fees that replace every `earlier` attempt on any node, at least the market's, or None when that does not fit under the
    cap.
    """
    attempts = list(earlier)
    floor_max = max(_raised(fees.max_fee_per_gas_wei) for fees in attempts)
    floor_tip = max(_raised(fees.max_priority_fee_per_gas_wei) for fees in attempts)
    if max(floor_max, floor_tip) > cap_wei:
        return None
    wanted = _cut(market_fees(market, tier), cap_wei)
    tip = max(floor_tip, wanted.max_priority_fee_per_gas_wei)
    return Fees(max(floor_max, wanted.max_fee_per_gas_wei, tip), tip)


def can_replace(earlier: Iterable[Fees], *, cap_wei: int) -> bool:
    """Whether any fees under the cap replace every `earlier` attempt, whatever the market says."""
    return all(_raised(fees.max_fee_per_gas_wei) <= cap_wei for fees in earlier)


def meets_market(fees: Fees, market: FeeQuote, tier: FeeTier) -> bool:
    """Whether an attempt with these fees pays what the tier pays now."""
    tip = market.tip_per_gas_wei[tier]
    return fees.max_priority_fee_per_gas_wei >= tip and fees.max_fee_per_gas_wei >= market.base_fee_per_gas_wei + tip


def intrinsic_gas(data: bytes, access_list: AccessList) -> int:
    """The gas that a call costs before anything runs (Yellow Paper, appendix G; EIP-2028, EIP-2930). Some chains ask for more."""
    zeros = data.count(0)
    listed = 2_400 * len(access_list) + 1_900 * sum(len(keys) for _, keys in access_list)
    return PLAIN_TRANSFER_GAS + 4 * zeros + 16 * (len(data) - zeros) + listed


def gas_limit_for(estimate: int, *, limit_max: int = GAS_LIMIT_MAX) -> int:
    """The gas limit for a node's `estimate`: exact for a plain transfer, a quarter more where code runs, never above `limit_max`.

    Raises `FeeAboveCap` when the estimate itself is above that.
    """
    if estimate > limit_max:
        raise FeeAboveCap("this needs more gas than a transaction may use here", gas=estimate, gas_limit_max=limit_max)
    if estimate <= PLAIN_TRANSFER_GAS:
        return PLAIN_TRANSFER_GAS
    return min(-(-estimate * 5 // 4), limit_max)


def _raised(fee_wei: int) -> int:
    return -(-fee_wei * REPLACEMENT_NUMERATOR // REPLACEMENT_DENOMINATOR)


def _cut(fees: Fees, cap_wei: int) -> Fees:
    return Fees(min(fees.max_fee_per_gas_wei, cap_wei), min(fees.max_priority_fee_per_gas_wei, cap_wei))


def _median(values: list[int]) -> int:
    ordered = sorted(values)
    return ordered[len(ordered) // 2] if ordered else 0
