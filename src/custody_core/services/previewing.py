"""Saying what a send would cost, and whether it would be accepted. Moves nothing."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from custody_core.domain.addresses import require_recipient
from custody_core.domain.fees import Fees, FeeTier, first_fees, payment_cap
from custody_core.domain.funds import shortfall
from custody_core.domain.policy import Evaluation, Verdict, evaluate
from custody_core.domain.tokens import Asset
from custody_core.ports import Unit
from custody_core.services.accepting import policy_inputs
from custody_core.services.call_requests import require_callable, token_at
from custody_core.services.estimating import Wanted, estimate_sends
from custody_core.services.funds import available_for
from custody_core.services.kit import Kit
from custody_core.services.market import RecentMarkets
from custody_core.services.outcomes import value_of
from custody_core.services.send_requests import SendRequest, asset_of, tokens_for
from custody_core.services.wallets import visible_wallet


@attrs.frozen
class Preview:
    """What a send would cost and whether it would be accepted now. `fee_hold_wei` is the most that gas can cost."""

    type: str
    asset: Asset
    amount: int
    gas_limit: int
    fees_by_tier: Mapping[FeeTier, Fees]
    fee_per_gas_max_wei: int
    fee_hold_wei: int
    available: int
    available_native_wei: int
    sufficient: bool
    verdict: Verdict
    rules: tuple[str, ...]


def preview_send(kit: Kit, markets: RecentMarkets, request: SendRequest, owner_id: str | None) -> Preview:
    """What accepting `request` would come to. Raises what accepting raises, but for what the preview itself tells."""

    def work(unit: Unit) -> tuple[Wanted, int, int, Evaluation]:
        wallet = visible_wallet(unit, request.wallet_id, owner_id)
        tokens = tokens_for(unit, [request])
        asset = asset_of(request, tokens)
        require_recipient(request.to, sender=wallet.address, token=asset.contract)
        token = token_at(tokens, request.chain_id, request.to) if request.is_call else None
        if request.is_call:
            require_callable(request.to, request.data, managed=unit.wallets_by_address({request.to}), token=token)
        available, native = available_for(unit, wallet.id, asset)
        evaluation = evaluate(unit.active_policies(), policy_inputs(request, wallet, asset, token))
        return Wanted(request, asset, wallet.address), available, native, evaluation

    wanted, available, native, evaluation = kit.read(work)
    (found,) = estimate_sends(kit, markets, [wanted])
    estimate = value_of(found)
    hold = estimate.gas_limit * estimate.fee_per_gas_max_wei
    cap = payment_cap(estimate.fee_per_gas_max_wei)
    return Preview(
        type=str(request.type),
        asset=wanted.asset,
        amount=request.amount,
        gas_limit=estimate.gas_limit,
        fees_by_tier={tier: first_fees(estimate.market, tier, cap_wei=cap) for tier in FeeTier},
        fee_per_gas_max_wei=estimate.fee_per_gas_max_wei,
        fee_hold_wei=hold,
        available=available,
        available_native_wei=native,
        sufficient=shortfall(request.amount, hold, wanted.asset, available, native) is None,
        verdict=evaluation.verdict,
        rules=evaluation.rules,
    )
