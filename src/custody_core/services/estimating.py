"""Asking the node, before sends are accepted, what they will need: gas and fees. Called outside of any unit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial

import attrs

from custody_core.domain.addresses import Address, address_to_bytes
from custody_core.domain.encoding import erc20_transfer_calldata
from custody_core.domain.fees import FeeQuote, default_cap, gas_limit_for, intrinsic_gas, require_cap_above_market
from custody_core.domain.tokens import Asset
from custody_core.errors import CustodyError, FeeAboveCap, NodeUnavailable, SimulationReverted
from custody_core.ports import Answer, Call, Found, Reverted
from custody_core.services.kit import Kit, Limits
from custody_core.services.market import RecentMarkets
from custody_core.services.outcomes import outcome_of
from custody_core.services.send_requests import SendRequest


@attrs.frozen
class Wanted:
    """A send to be estimated."""

    request: SendRequest
    asset: Asset
    sender: Address


@attrs.frozen
class Estimate:
    """What the node says about a send before it is accepted."""

    gas_limit: int
    market: FeeQuote
    fee_per_gas_max_wei: int


def estimate_sends(kit: Kit, markets: RecentMarkets, wanted: Sequence[Wanted]) -> Sequence[Estimate | CustodyError]:
    """What each send needs now, in that order, or why it cannot be: `FeeAboveCap`, `FeeUnavailable`, `NodeUnavailable`,
    `SimulationReverted`. Each chain is asked once for all.
    """
    by_chain: dict[int, list[int]] = defaultdict(list)
    for index, each in enumerate(wanted):
        by_chain[each.request.chain_id].append(index)
    found: dict[int, Estimate | CustodyError] = {}
    for chain_id, indices in by_chain.items():
        answers = _estimate_on(kit, markets, chain_id, [wanted[index] for index in indices])
        found |= zip(indices, answers, strict=True)
    return [found[index] for index in range(len(wanted))]


def _estimate_on(kit: Kit, markets: RecentMarkets, chain_id: int, wanted: Sequence[Wanted]) -> list[Estimate | CustodyError]:
    market = outcome_of(partial(markets.quote, chain_id))
    if isinstance(market, CustodyError):
        return [market for _ in wanted]
    caps = [outcome_of(partial(cap_for, kit, each.request, market)) for each in wanted]
    calls = [call_of(each) for each, cap in zip(wanted, caps, strict=True) if isinstance(cap, int)]
    tried = iter(zip(calls, kit.chain(chain_id).estimate_gas(calls) if calls else (), strict=True))
    return [outcome_of(partial(_estimate, kit.limits, cap, market, *next(tried))) if isinstance(cap, int) else cap for cap in caps]


def cap_for(kit: Kit, request: SendRequest, market: FeeQuote) -> int:
    """The most that a request may pay per gas, its own or the default. Raises `FeeAboveCap`."""
    ceiling = kit.limits.fee_per_gas_max_wei
    if request.fee_per_gas_max_wei is not None:
        require_below_ceiling(kit, request.fee_per_gas_max_wei)
    cap = request.fee_per_gas_max_wei or default_cap(market, request.tier, ceiling_wei=ceiling)
    require_cap_above_market(market, request.tier, cap_wei=cap)
    return cap


def require_below_ceiling(kit: Kit, fee_per_gas_max_wei: int) -> None:
    """Raises `FeeAboveCap` for more than any transaction of this service may pay per gas."""
    ceiling = kit.limits.fee_per_gas_max_wei
    if fee_per_gas_max_wei > ceiling:
        raise FeeAboveCap(
            "this is above what the service may pay per gas", pointer="/fee/fee_per_gas_max_wei", cap_wei=str(ceiling)
        )


def require_fee_below(limits: Limits, fee_max_wei: int) -> None:
    """Raises `FeeAboveCap` where gas could cost more in all than the gas of any transaction of this service may."""
    if fee_max_wei > limits.fee_max_wei:
        raise FeeAboveCap(
            "its gas could cost more in all than this service pays for one transaction; offer less per gas",
            pointer="/fee/fee_per_gas_max_wei",
            fee_wei=str(fee_max_wei),
            fee_max_wei=str(limits.fee_max_wei),
        )


def call_of(wanted: Wanted) -> Call:
    """What a send would put on the chain, to be tried out."""
    request, contract = wanted.request, wanted.asset.contract
    if contract is None:
        return Call(wanted.sender, request.to, request.amount, request.data, request.access_list)
    data = erc20_transfer_calldata(address_to_bytes(request.to), request.amount)
    return Call(wanted.sender, contract, 0, data, request.access_list)


def _estimate(limits: Limits, cap: int, market: FeeQuote, call: Call, answer: Answer[int | Reverted]) -> Estimate:
    match answer:
        case Found(value=Reverted(reason=reason)):
            raise SimulationReverted(f"this would revert: {reason or 'no reason given'}", reason=reason or "")
        case Found(value=int(gas)) if gas < intrinsic_gas(call.data, call.access_list):
            raise NodeUnavailable("the node's estimate is below what any node takes; try again")
        case Found(value=int(gas)):
            gas_limit = gas_limit_for(gas, limit_max=limits.gas_limit_max)
            require_fee_below(limits, gas_limit * cap)
            return Estimate(gas_limit, market, cap)
        case _:
            raise NodeUnavailable("the node does not say what this needs; try again")
