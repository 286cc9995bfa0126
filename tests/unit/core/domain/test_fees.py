"""Fees: what is offered stays under the cap, what replaces is accepted by every node, what is absurd is refused."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from custody_core.domain.fees import (
    FEE_PER_GAS_SANE_MAX_WEI,
    GAS_LIMIT_MAX,
    GWEI,
    PLAIN_TRANSFER_GAS,
    TIER_PERCENTILES,
    TIP_MIN_WEI,
    FeeHistory,
    FeeQuote,
    Fees,
    FeeTier,
    can_replace,
    default_cap,
    first_fees,
    gas_limit_for,
    market_fees,
    may_be_mined,
    payment_cap,
    quote,
    replacement_fees,
    require_cap_above_market,
)
from custody_core.errors import FeeAboveCap, FeeUnavailable

SANE = st.integers(0, FEE_PER_GAS_SANE_MAX_WEI)
CAPS = st.integers(1, 10**16)
TIERS = st.sampled_from(FeeTier)


@st.composite
def markets(draw: st.DrawFn) -> FeeQuote:
    tips = sorted(draw(st.tuples(*[st.integers(TIP_MIN_WEI, 10**13)] * 3)))
    return FeeQuote(draw(st.integers(0, 10**14)), dict(zip(FeeTier, tips, strict=True)))


@st.composite
def offers(draw: st.DrawFn, highest: int = 10**15) -> Fees:
    """Fees as an attempt may carry them: never a tip of zero, which `first_fees` does not make either."""
    tip, most = sorted(draw(st.tuples(st.integers(1, highest), st.integers(1, highest))))
    return Fees(most, tip)


def test_the_tip_lies_between_zero_and_the_maximum() -> None:
    for most, tip in ((1, 2), (0, -1), (-1, -1)):
        with pytest.raises(ValueError, match="tip"):
            Fees(most, tip)


# What the market asks


@given(SANE, st.lists(st.tuples(SANE, SANE, SANE), max_size=25))
@example(GWEI, [(tip * GWEI,) * 3 for tip in (5, 1, 4, 2, 3)])
def test_a_quote_is_the_median_of_each_tier_and_never_below_the_least_tip(base: int, tips: list[tuple[int, int, int]]) -> None:
    market = quote(FeeHistory(base, tips))
    assert market.base_fee_per_gas_wei == base
    for index, tier in enumerate(TIER_PERCENTILES):
        tip, column = market.tip_per_gas_wei[tier], sorted(block[index] for block in tips)
        assert tip >= TIP_MIN_WEI
        if column and tip > TIP_MIN_WEI:
            assert tip in column
            assert sum(each < tip for each in column) <= len(column) / 2
            assert sum(each > tip for each in column) <= len(column) / 2


@given(SANE, st.lists(st.tuples(SANE, SANE, SANE).map(sorted), min_size=1, max_size=25))
def test_more_hurry_never_pays_less(base: int, tips: list[list[int]]) -> None:
    market = quote(FeeHistory(base, tips))
    assert market.tip_per_gas_wei[FeeTier.SLOW] <= market.tip_per_gas_wei[FeeTier.NORMAL] <= market.tip_per_gas_wei[FeeTier.FAST]


@pytest.mark.parametrize("tips", [[], [[]], [[0, 0, 0]] * 20, [[1], []]])
def test_an_empty_or_idle_history_gives_the_least_tip(tips: list[list[int]]) -> None:
    """0.01 gwei."""
    assert quote(FeeHistory(0, tips)) == FeeQuote(0, dict.fromkeys(FeeTier, 10_000_000))


@pytest.mark.parametrize(
    "history",
    [
        FeeHistory(-1, []),
        FeeHistory(FEE_PER_GAS_SANE_MAX_WEI + 1, []),
        FeeHistory(10**13 * GWEI, [[1, 1, 1]]),
        FeeHistory(GWEI, [[1, -1, 1]]),
        FeeHistory(GWEI, [[1, 1, 1], [1, 1, 2**256]]),
    ],
)
def test_s08_fees_that_no_chain_has_ever_had_are_refused(history: FeeHistory) -> None:
    with pytest.raises(FeeUnavailable):
        quote(history)


# The first attempt and its cap


@given(markets(), TIERS, CAPS)
def test_the_first_attempt_never_exceeds_the_cap_and_offers_the_market_where_it_fits(
    market: FeeQuote, tier: FeeTier, cap: int
) -> None:
    fees, offered = first_fees(market, tier, cap_wei=cap), market_fees(market, tier)
    assert 0 < fees.max_priority_fee_per_gas_wei <= fees.max_fee_per_gas_wei <= cap
    if offered.max_fee_per_gas_wei <= cap:
        assert fees == offered


@given(markets(), TIERS)
def test_a_market_offer_survives_a_doubling_of_the_base_fee(market: FeeQuote, tier: FeeTier) -> None:
    offered = market_fees(market, tier)
    assert offered.max_fee_per_gas_wei - 2 * market.base_fee_per_gas_wei == offered.max_priority_fee_per_gas_wei


@given(markets(), TIERS, CAPS)
def test_the_default_cap_covers_the_market_now_or_says_that_it_cannot(market: FeeQuote, tier: FeeTier, ceiling: int) -> None:
    now = market.base_fee_per_gas_wei + market.tip_per_gas_wei[tier]
    if now > ceiling:
        with pytest.raises(FeeAboveCap):
            default_cap(market, tier, ceiling_wei=ceiling)
    else:
        assert now <= default_cap(market, tier, ceiling_wei=ceiling) <= ceiling


@given(markets(), TIERS)
def test_the_default_cap_leaves_room_for_five_replacements(market: FeeQuote, tier: FeeTier) -> None:
    cap = default_cap(market, tier, ceiling_wei=10**30)
    attempts = [first_fees(market, tier, cap_wei=cap)]
    while (dearer := replacement_fees(attempts, market, tier, cap_wei=cap)) is not None:
        attempts.append(dearer)
    assert 5 <= len(attempts) - 1 <= 6


@given(markets(), TIERS)
def test_a_ceiling_that_the_market_just_meets_is_high_enough(market: FeeQuote, tier: FeeTier) -> None:
    now = market.base_fee_per_gas_wei + market.tip_per_gas_wei[tier]
    assert default_cap(market, tier, ceiling_wei=now) == now
    with pytest.raises(FeeAboveCap):
        default_cap(market, tier, ceiling_wei=now - 1)


@given(markets(), TIERS, CAPS)
def test_above_the_highest_payment_a_replacement_still_fits_and_a_higher_one_leaves_no_room(
    market: FeeQuote, tier: FeeTier, cap: int
) -> None:
    most = payment_cap(cap)
    assert replacement_fees([Fees(most, min(most, 1))], market, tier, cap_wei=cap) is not None
    assert replacement_fees([Fees(most + 1, 1)], market, tier, cap_wei=cap) is None


@given(markets(), TIERS)
def test_a_cap_is_high_enough_from_the_market_and_an_eighth_of_it_on(market: FeeQuote, tier: FeeTier) -> None:
    """To be accepted a payment has to meet the tier's tip; to be mined later the least tip is enough."""
    to_accept, to_mine = (market.base_fee_per_gas_wei + tip for tip in (market.tip_per_gas_wei[tier], TIP_MIN_WEI))
    enough = -(-to_accept * 9 // 8)
    require_cap_above_market(market, tier, cap_wei=enough)
    with pytest.raises(FeeAboveCap) as refusal:
        require_cap_above_market(market, tier, cap_wei=enough - 1)
    assert refusal.value.extra == {"market_wei": str(to_accept), "cap_wei": str(enough - 1)}
    assert may_be_mined(-(-to_mine * 9 // 8), market)
    assert not may_be_mined(-(-to_mine * 9 // 8) - 1, market)


# Replacements


@given(st.lists(offers(), min_size=1, max_size=8), markets(), TIERS, CAPS)
@example([Fees(1, 1)], FeeQuote(0, dict.fromkeys(FeeTier, TIP_MIN_WEI)), FeeTier.SLOW, 2)
@example([Fees(8, 1), Fees(9, 9)], FeeQuote(0, dict.fromkeys(FeeTier, TIP_MIN_WEI)), FeeTier.SLOW, 11)
def test_s_07_a_replacement_raises_both_fields_over_every_attempt_or_is_impossible(
    earlier: list[Fees], market: FeeQuote, tier: FeeTier, cap: int
) -> None:
    dearer = replacement_fees(earlier, market, tier, cap_wei=cap)
    least_max = max(-(-9 * each.max_fee_per_gas_wei // 8) for each in earlier)
    least_tip = max(-(-9 * each.max_priority_fee_per_gas_wei // 8) for each in earlier)
    assert (dearer is None) == (max(least_max, least_tip) > cap)
    assert can_replace(earlier, cap_wei=cap) == (least_max <= cap)
    if dearer is None:
        return
    assert dearer.max_priority_fee_per_gas_wei <= dearer.max_fee_per_gas_wei <= cap
    for old in earlier:
        for new_wei, old_wei in (
            (dearer.max_fee_per_gas_wei, old.max_fee_per_gas_wei),
            (dearer.max_priority_fee_per_gas_wei, old.max_priority_fee_per_gas_wei),
        ):
            assert new_wei > old_wei  # geth: strictly more, …
            assert new_wei * 100 >= old_wei * 110  # … and at least 10 %
            assert new_wei * 1000 >= old_wei * 1125  # nodes that ask for 12.5 %


@given(st.lists(offers(), min_size=1, max_size=4), markets(), TIERS, CAPS)
def test_a_replacement_follows_the_market_as_far_as_the_cap_allows(
    earlier: list[Fees], market: FeeQuote, tier: FeeTier, cap: int
) -> None:
    dearer = replacement_fees(earlier, market, tier, cap_wei=cap)
    if dearer is not None:
        assert dearer.max_fee_per_gas_wei >= min(market_fees(market, tier).max_fee_per_gas_wei, cap)
        assert dearer.max_priority_fee_per_gas_wei >= min(market.tip_per_gas_wei[tier], cap)


@given(markets(), TIERS, CAPS)
def test_replacing_ends_at_the_cap(market: FeeQuote, tier: FeeTier, cap: int) -> None:
    attempts = [first_fees(market, tier, cap_wei=cap)]
    for _ in range(400):
        dearer = replacement_fees(attempts, market, tier, cap_wei=cap)
        if dearer is None:
            return
        attempts.append(dearer)
    pytest.fail("replacements go on for ever")


# Gas


@given(st.integers(0, 2 * GAS_LIMIT_MAX))
@example(PLAIN_TRANSFER_GAS)
@example(PLAIN_TRANSFER_GAS + 1)
@example(GAS_LIMIT_MAX)
@example(GAS_LIMIT_MAX + 1)
def test_a_gas_limit_covers_the_estimate_with_room_and_stays_below_eip_7825(estimate: int) -> None:
    if estimate > GAS_LIMIT_MAX:
        with pytest.raises(FeeAboveCap):
            gas_limit_for(estimate)
        return
    limit = gas_limit_for(estimate)
    assert max(estimate, PLAIN_TRANSFER_GAS) <= limit <= GAS_LIMIT_MAX
    if estimate <= PLAIN_TRANSFER_GAS:
        assert limit == PLAIN_TRANSFER_GAS
    else:
        assert limit == GAS_LIMIT_MAX or 4 * limit >= 5 * estimate
