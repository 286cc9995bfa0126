"""Asking the node, before a send is accepted, what it will need: gas and fees. Called outside of any unit."""

from __future__ import annotations

import attrs

from custody_core.domain.addresses import Address, address_to_bytes
from custody_core.domain.encoding import erc20_transfer_calldata
from custody_core.domain.fees import FeeQuote, default_cap, gas_limit_for, require_cap_above_market
from custody_core.domain.tokens import Asset
from custody_core.errors import FeeAboveCap, NodeUnavailable, SimulationReverted
from custody_core.ports import Call, Chain, Found, Reverted
from custody_core.services.kit import Kit
from custody_core.services.market import market_now
from custody_core.services.send_requests import SendRequest


@attrs.frozen
class Estimate:
    """What the node says about a send before it is accepted."""

    gas_limit: int
    market: FeeQuote
    fee_per_gas_max_wei: int


def estimate_send(kit: Kit, request: SendRequest, asset: Asset, sender: Address) -> Estimate:
    """What the send needs now. Raises `FeeAboveCap`, `FeeUnavailable`, `NodeUnavailable`, `SimulationReverted`."""
    chain = kit.chain(request.chain_id)
    market = market_now(chain)
    ceiling = kit.limits.fee_per_gas_max_wei
    if request.fee_per_gas_max_wei is not None and request.fee_per_gas_max_wei > ceiling:
        raise FeeAboveCap(
            "this is above what the service may pay per gas", pointer="/fee/fee_per_gas_max_wei", cap_wei=str(ceiling)
        )
    cap = request.fee_per_gas_max_wei or default_cap(market, request.tier, ceiling_wei=ceiling)
    require_cap_above_market(market, request.tier, cap_wei=cap)
    gas = _estimate_gas(chain, request, asset, sender)
    return Estimate(gas_limit_for(gas), market, cap)


def _estimate_gas(chain: Chain, request: SendRequest, asset: Asset, sender: Address) -> int:
    if asset.contract is None:
        call = Call(sender, request.to, request.amount)
    else:
        call = Call(sender, asset.contract, 0, erc20_transfer_calldata(address_to_bytes(request.to), request.amount))
    match chain.estimate_gas(call):
        case Found(value=Reverted(reason=reason)):
            raise SimulationReverted(f"this transfer would revert: {reason or 'no reason given'}", reason=reason or "")
        case Found(value=int(gas)):
            return gas
        case _:
            raise NodeUnavailable("the node does not say what this transfer needs; try again")
