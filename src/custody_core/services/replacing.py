"""What is done about a transaction that waits in the pool: a dearer attempt, or word that nothing helps.

Only the wallet's next nonce is made dearer by itself: the others wait for that one, not for a better price. Neither is what no node
passes on because it is dear already. A cancellation and a speed-up are asked for, and planned at once wherever they stand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from custody_core.domain.facts import FoundMoving, FoundStuck, ReplacementPlanned
from custody_core.domain.fees import FeeQuote, Fees, FeeTier, can_replace, meets_market, payment_cap, replacement_fees
from custody_core.domain.ids import IdPrefix
from custody_core.domain.lifecycle import PASSED_OVER_AFTER, decide
from custody_core.domain.transaction import Attempt, AttemptKind, AttemptState, Stuck, Transaction
from custody_core.errors import FeeAboveCap, FeeUnavailable
from custody_core.ports import Chain, Unit
from custody_core.services.kit import Kit, raise_alarm
from custody_core.services.market import market_now
from custody_core.services.rounds import Outcome, save_step

PROVIDER_FEE_CAP = "provider-fee-cap"
"""What a transaction waits for that every node refuses for its fee: a node with a higher limit of its own."""


_Plan = ReplacementPlanned | FoundStuck | FoundMoving
"""What comes next for one: a dearer attempt, or word that it is stuck or is not any more."""


def replace_waiting(kit: Kit, chain: Chain, waiting: Sequence[Transaction]) -> tuple[list[Transaction], list[Transaction]]:
    """Plans what comes next for each that has waited too long, is to be cancelled or to be sped up.

    Returns those that have a new attempt to be signed, and those whose bytes are to be sent again as they are.
    """
    if not waiting:
        return [], []
    try:
        market = market_now(kit, chain)
    except FeeUnavailable:
        return [], list(waiting)
    next_nonces = kit.read(lambda unit: unit.next_unmined(chain.chain_id, {each.wallet_id for each in waiting}))
    plans = {each.id: plan for each in waiting if (plan := _plan(kit, each, market, next_nonces)) is not None}

    def step(unit: Unit, fresh: Sequence[Transaction], now: datetime) -> list[Outcome]:
        return [_outcome(kit, unit, each, plans[each.id], now) for each in fresh]

    changed = save_step(kit, [each for each in waiting if each.id in plans], step)
    planned = [each for each in changed if _is_planned(each)]
    unchanged = [each for each in waiting if each.id not in plans]
    return planned, [*unchanged, *(each for each in changed if not _is_planned(each))]


def require_dearer(transaction: Transaction) -> None:
    """Raises `FeeAboveCap` when no attempt that replaces the earlier ones fits under the transaction's cap."""
    if not can_replace([attempt.fees for attempt in transaction.attempts], cap_wei=_cap_wei(transaction)):
        raise FeeAboveCap(
            "it offers as much per gas as this transaction may pay; `cancel` takes it back, and may be given a higher cap",
            cap_wei=str(_cap_wei(transaction)),
        )


def _cap_wei(transaction: Transaction) -> int:
    kind = _kind(transaction)
    cap_wei = transaction.fee_cap_wei(kind)
    return payment_cap(cap_wei) if kind is AttemptKind.PAYMENT else cap_wei


def _plan(kit: Kit, transaction: Transaction, market: FeeQuote, next_nonces: Mapping[str, int]) -> _Plan | None:
    """None where the same bytes are sent again."""
    now = kit.clock.now()
    asked = _wants_cancellation(transaction) or _wants_speed(transaction)
    if not asked and (next_nonces.get(transaction.wallet_id) != transaction.nonce or transaction.parked_reason == PROVIDER_FEE_CAP):
        return None
    fees = _fees(transaction, market)
    why = _stuck(transaction, market, at_cap=fees is None, now=now)
    if why is not None and why is not transaction.stuck:
        return FoundStuck(why)
    if fees is not None:
        return ReplacementPlanned(Attempt(kit.new_id(IdPrefix.ATTEMPT, now), _kind(transaction), fees, now))
    return None if why is transaction.stuck else FoundMoving()


def _fees(transaction: Transaction, market: FeeQuote) -> Fees | None:
    tier = FeeTier.FAST if _wants_speed(transaction) else transaction.fee_tier
    return replacement_fees([attempt.fees for attempt in transaction.attempts], market, tier, cap_wei=_cap_wei(transaction))


def _stuck(transaction: Transaction, market: FeeQuote, *, at_cap: bool, now: datetime) -> Stuck | None:
    """Whether nothing that may be done would help. Paying less than the market asks is no reason while it may pay more."""
    newest, first = transaction.newest_attempt, transaction.attempts[0]
    if newest is None or first.first_sent_at is None:
        return None
    if not meets_market(newest.fees, market, transaction.fee_tier):
        return Stuck.FEE_AT_CAP if at_cap else None
    return Stuck.PASSED_OVER if now >= first.first_sent_at + PASSED_OVER_AFTER else None


def _outcome(kit: Kit, unit: Unit, transaction: Transaction, plan: _Plan, now: datetime) -> Outcome:
    if plan == FoundStuck(Stuck.FEE_AT_CAP):
        detail = f"{transaction.id} pays at most {_cap_wei(transaction)} wei per gas, and the market asks more"
        raise_alarm(kit, unit, now=now, code="fee-at-cap", object_id=transaction.id, detail=detail)
    return decide(transaction, plan, now)


def _kind(transaction: Transaction) -> AttemptKind:
    return AttemptKind.CANCELLATION if transaction.cancel_requested_at else AttemptKind.PAYMENT


def _wants_cancellation(transaction: Transaction) -> bool:
    """Asked for, and not planned yet. Once it is, it waits and is made dearer as any other attempt."""
    newest = transaction.newest_attempt
    return transaction.cancel_requested_at is not None and newest is not None and newest.kind is AttemptKind.PAYMENT


def _wants_speed(transaction: Transaction) -> bool:
    newest = transaction.newest_attempt
    asked_at = transaction.speed_up_requested_at
    return asked_at is not None and newest is not None and asked_at > newest.planned_at


def _is_planned(transaction: Transaction) -> bool:
    newest = transaction.newest_attempt
    return newest is not None and newest.state is AttemptState.PLANNED
