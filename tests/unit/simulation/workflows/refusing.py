"""Workflows of what is asked wrongly, or may not be. Nothing comes of it, however often it is asked and whoever dies meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from custody_core import Custody, CustodyError
from custody_core.domain.encoding import erc20_transfer_calldata
from custody_core.domain.fees import GWEI
from custody_core.errors import (
    ExternalIdExists,
    FeeAboveCap,
    IdempotencyKeyReused,
    InsufficientFunds,
    InvalidStateTransition,
    NodeUnavailable,
    NotFound,
    PolicyDenied,
    SimulationReverted,
    UnsupportedAsset,
    ValidationFailed,
    WalletFrozen,
)
from custody_core.services.accepting import Accepted
from custody_core.services.batching import Batch, Payout
from custody_memory.chain import MemoryChain
from tests.unit.simulation.desk import APPROVE, recipient_word
from tests.unit.simulation.failures import require
from tests.unit.simulation.props import FRIEND
from tests.unit.simulation.rehearsal import ASKED_AGAIN, Rehearsal

ALLOWANCE = APPROVE + recipient_word(FRIEND)
HEAVY = [{"address": f"0x{index:040x}", "storageKeys": [f"0x{key:064x}" for key in range(10)]} for index in range(1, 80)]
"""An access list that costs more gas than may be used."""


def asked_wrongly(on: Rehearsal) -> None:
    on.fund(tokens=500)
    on.arm()
    _refused(on, ValidationFailed, to=on.wallet.address)
    _refused(on, SimulationReverted, to=on.token)
    _refused(on, InsufficientFunds, amount=10**18)
    _refused(on, UnsupportedAsset, asset="unheard-of")
    _refused(on, NotFound, owner_id="usr_somebody-else")
    _refused(on, FeeAboveCap, fee_per_gas_max_wei=2)
    on.send("right")


def calls_refused(on: Rehearsal) -> None:
    """Calls that need too much gas, move tokens by the back door, or that no rule names; then one that is allowed."""
    on.fund()
    on.arm()
    call: dict[str, Any] = {"to": on.token, "amount": None, "value": 0}
    _refused(on, FeeAboveCap, **call, data=ALLOWANCE + (7).to_bytes(32, "big"), access_list=HEAVY)
    _refused(on, ValidationFailed, **call, data=erc20_transfer_calldata(bytes(20), 5))
    on.send("allowed", **call, data=ALLOWANCE + (7).to_bytes(32, "big"), access_list=HEAVY[:3])


def denied_by_policy(on: Rehearsal) -> None:
    """It is told every time, and holds nothing."""
    on.fund()
    on.arm()
    call: dict[str, Any] = {"to": on.token, "amount": None, "value": 0, "data": ALLOWANCE + (10**9).to_bytes(32, "big")}
    for _ in range(2):
        _refused(on, PolicyDenied, **call)
    on.send("allowed")


def asked_while_fees_are_too_high(on: Rehearsal) -> None:
    """Above the service's own cap nothing is accepted, and on fees that no chain has ever had nothing is sent."""
    on.fund()
    on.arm()
    on.market(600)
    _refused(on, FeeAboveCap)
    on.market(1)
    on.rounds(seconds=30)
    on.send("later")
    on.market(2_000_000)
    on.rounds(2, seconds=15)
    on.market(1)


def chain_not_followed_yet(on: Rehearsal) -> None:
    """One that was configured a moment ago, and whose node nobody has asked yet."""
    on.fund()
    new = MemoryChain(2)
    on.arm()

    def ask(custody: Custody) -> None:
        custody.transactions.send(on.wallet.id, to=FRIEND, amount=1, chain_id=2, idempotency_key="there")

    try:
        ask(on.service_for(new))
    except NodeUnavailable:
        on.send("here")
        return
    raise AssertionError("a send was accepted for a chain that is not followed")


def payouts(on: Rehearsal) -> None:
    """Several under one key: what is wrong with one of them touches no other."""
    on.fund(tokens=500)
    on.arm()
    items = [("1", FRIEND, 10**16, "eth"), ("2", on.wallet.address, 1, "eth"), ("3", FRIEND, 70, "usdc"), ("4", "0x12", 1, "eth")]
    for _ in range(2):
        outcomes = _paid_out(on, [Payout(external_id=id_, to=to, amount=amount, asset=asset) for id_, to, amount, asset in items])
        assert [isinstance(each, Accepted) for each in outcomes] == [True, False, True, False]
        on.sends |= {str(at): each.transaction.id for at, each in enumerate(outcomes) if isinstance(each, Accepted)}
    other = Batch(wallet_id=on.wallet.id, payouts=[Payout(external_id="1", to=FRIEND, amount=5)])
    _is_refused(on, IdempotencyKeyReused, lambda custody: custody.transactions.accept_batch(other, idempotency_key="payouts"))
    (outcome,) = _paid_out(on, other.payouts, key="other-payouts")
    require(isinstance(outcome, ExternalIdExists), "INV-8", f"an external id is taken twice: {outcome}")


def speed_up_at_the_cap(on: Rehearsal) -> None:
    """What it offers cannot be raised any more."""
    on.fund()
    sent = on.send(fee_per_gas_max_wei=4 * GWEI)
    on.until(lambda: bool(on.tree.pool))
    for _ in range(4):
        on.market(40)
        on.tree.mine_nothing()
        on.rounds(seconds=40)
    on.arm()
    _is_refused(on, FeeAboveCap, lambda custody: custody.transactions.speed_up(sent))
    on.market(1)


def frozen_by_its_owner(on: Rehearsal) -> None:
    """Nothing new is taken, and what only one may do twice is refused."""
    on.fund()
    on.arm()
    on.ask(lambda custody: custody.wallets.freeze(on.wallet.id, reason="looked at", owner_id=on.wallet.owner_id))
    _refused(on, WalletFrozen)
    on.unfreeze()
    sent = on.send("right")
    on.until(lambda: on.transaction(sent).nonce is not None)
    on.until(lambda: on.transaction(sent).is_final or (on.tree.mine() is None and on.transaction(sent).is_final))
    _is_refused(on, InvalidStateTransition, lambda custody: custody.transactions.cancel(sent))


def _paid_out(on: Rehearsal, items: Sequence[Payout], key: str = "payouts") -> Sequence[object]:
    batch = Batch(wallet_id=on.wallet.id, payouts=items)

    def pay(custody: Custody) -> Sequence[object]:
        outcomes = custody.transactions.accept_batch(batch, idempotency_key=key)
        for each in outcomes:
            if isinstance(each, ASKED_AGAIN):
                raise each
        return outcomes

    return on.ask(pay)


def _refused(on: Rehearsal, reason: type[CustodyError], **request: object) -> None:
    filled: dict[str, Any] = {"to": FRIEND, "amount": 10**17, "idempotency_key": "wrong"} | request
    _is_refused(on, reason, lambda custody: custody.transactions.send(on.wallet.id, **filled))


def _is_refused(on: Rehearsal, reason: type[CustodyError], act: Callable[[Custody], object]) -> None:
    try:
        on.ask(act)
    except reason:
        return
    require(False, "refusals", f"{reason.__name__} is expected")
