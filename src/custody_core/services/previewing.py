"""Saying what a send would cost, and whether it would be accepted. Moves nothing."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from custody_core.domain.addresses import require_recipient
from custody_core.domain.encoding import returns_false
from custody_core.domain.fees import Fees, FeeTier, first_fees, payment_cap
from custody_core.domain.funds import shortfall
from custody_core.domain.policy import Evaluation, Verdict, evaluate
from custody_core.domain.tokens import Asset
from custody_core.errors import SimulationReverted
from custody_core.ports import Found, Unit
from custody_core.services.accepting import policy_inputs
from custody_core.services.call_requests import require_callable, token_at
from custody_core.services.estimating import Estimate, Wanted, call_of, cap_for, estimate_sends
from custody_core.services.funds import available_for
from custody_core.services.kit import Kit
from custody_core.services.market import RecentMarkets
from custody_core.services.outcomes import value_of
from custody_core.services.send_requests import SendRequest, asset_of, tokens_for
from custody_core.services.wallets import visible_wallet


@attrs.frozen
class Simulation:
    """Whether a send would do what it says, on top of the newest block; `reason` where it would revert and says why."""

    ok: bool
    reason: str | None = None


@attrs.frozen
class Preview:
    """What a send would cost and whether it would be accepted now. `fee_hold_wei` is the most that gas can cost.

    `simulation`: what became of it when the node tried it out. Where it was not tried (the funds do not suffice) or would revert,
    nobody knows the gas.
    """

    type: str
    asset: Asset
    amount: int
    gas_limit: int | None
    fees_by_tier: Mapping[FeeTier, Fees]
    fee_per_gas_max_wei: int
    fee_hold_wei: int | None
    available: int
    available_native_wei: int
    sufficient: bool
    simulation: Simulation | None
    verdict: Verdict
    rules: tuple[str, ...]


def preview_send(kit: Kit, markets: RecentMarkets, request: SendRequest, owner_id: str | None) -> Preview:
    """What accepting `request` would come to. Raises what accepting raises, but for what the preview itself tells."""

    def work(unit: Unit) -> tuple[Wanted, int, int, Evaluation, int | None]:
        wallet = visible_wallet(unit, request.wallet_id, owner_id)
        tokens = tokens_for(unit, [request])
        asset = asset_of(request, tokens)
        require_recipient(request.to, sender=wallet.address, token=asset.contract)
        token = token_at(tokens, request.chain_id, request.to) if request.is_call else None
        if request.is_call:
            require_callable(request.to, request.data, managed=unit.wallets_by_address({request.to}), token=token)
        available, native = available_for(unit, wallet.id, asset)
        evaluation = evaluate(unit.active_policies(), policy_inputs(request, wallet, asset, token))
        state = unit.chain(request.chain_id)
        return Wanted(request, asset, wallet.address), available, native, evaluation, state.cursor.number if state else None

    wanted, available, native, evaluation, head = kit.read(work)
    market = markets.quote(request.chain_id)
    cap_wei = cap_for(kit, request, market)
    tried = _tried(kit, markets, wanted, head) if shortfall(request.amount, 0, wanted.asset, available, native) is None else None
    gas_limit = tried.gas_limit if isinstance(tried, Estimate) else None
    hold = None if gas_limit is None else gas_limit * cap_wei
    return Preview(
        type=str(request.type),
        asset=wanted.asset,
        amount=request.amount,
        gas_limit=gas_limit,
        fees_by_tier={tier: first_fees(market, tier, cap_wei=payment_cap(cap_wei)) for tier in FeeTier},
        fee_per_gas_max_wei=cap_wei,
        fee_hold_wei=hold,
        available=available,
        available_native_wei=native,
        sufficient=shortfall(request.amount, hold or 0, wanted.asset, available, native) is None,
        simulation=_simulation(tried),
        verdict=evaluation.verdict,
        rules=evaluation.rules,
    )


def _tried(kit: Kit, markets: RecentMarkets, wanted: Wanted, head: int | None) -> Estimate | SimulationReverted:
    """The estimate, or why it would not do what it says. A token's `transfer` may say no without reverting (EIP-20)."""
    (found,) = estimate_sends(kit, markets, [wanted])
    if isinstance(found, SimulationReverted):
        return found
    estimate = value_of(found)
    if wanted.asset.contract is None or head is None:
        return estimate
    answer = kit.chain(wanted.request.chain_id).try_call(call_of(wanted), on_top_of=head)
    if isinstance(answer, Found) and isinstance(answer.value, bytes) and returns_false(answer.value):
        reason = "the token's contract says no to this transfer"
        return SimulationReverted(reason, reason=reason)
    return estimate


def _simulation(tried: Estimate | SimulationReverted | None) -> Simulation | None:
    match tried:
        case None:
            return None
        case SimulationReverted():
            return Simulation(ok=False, reason=str(tried.extra.get("reason", "")) or None)
        case _:
            return Simulation(ok=True)
