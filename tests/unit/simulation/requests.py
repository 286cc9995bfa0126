"""What is asked of the service, again under the same key, otherwise under the same key, and together with others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs

from custody_core import Custody, Wallet
from custody_core.domain.addresses import Address
from custody_core.errors import (
    Conflict,
    CustodyError,
    DatabaseUnavailable,
    FeeUnavailable,
    IdempotencyKeyReused,
    KeyPoolEmpty,
    NodeUnavailable,
    OutcomeUnknown,
    PolicyDenied,
    SignerUnavailable,
)
from custody_core.services.accepting import Accepted
from custody_core.services.batching import Batch, Payout
from tests.unit.simulation.failures import require

ANSWERS_THAT_MAY_PASS: Final = (
    OutcomeUnknown,
    NodeUnavailable,
    FeeUnavailable,
    SignerUnavailable,
    DatabaseUnavailable,
    KeyPoolEmpty,
    Conflict,
)


@attrs.define
class Payouts:
    """Several payments from one wallet under one key."""

    key: str
    wallet: Wallet
    intents: list[Intent] = attrs.field(factory=list)


@attrs.define
class Intent:
    """One payment that somebody wants once, under one key. Each has a recipient of its own, unless it stays inside."""

    key: str
    wallet: Wallet
    to: Address
    amount: int
    asset: str
    data: bytes | None = None
    idempotency_key: str = ""
    """The key as its owner says it: other owners have the same ones."""
    id: str | None = None
    cap_wei: int | None = None
    access_list: Sequence[Mapping[str, object]] = ()
    external_id: str | None = None
    payouts: Payouts | None = None
    """Those that it is one of."""
    is_to_be_cancelled: bool = False
    """Whether its owner ever asked for that."""
    has_another_body: bool = False
    """Whether something else was ever asked for under its key."""


@attrs.frozen
class Request:
    """Something that is asked of the service, and again until it is answered."""

    name: str
    act: Callable[[Custody], None]


def ask(custody: Custody, intent: Intent) -> None:
    """Asks for the payment, and for those that it is one of. The same key has to give the same ones."""
    if intent.payouts is not None:
        ask_for_all(custody, intent.payouts)
    else:
        try:
            _is_made(intent, custody.transactions.send(intent.wallet.id, **_body(intent)).id)
        except PolicyDenied as denied:
            _is_denied(intent, denied)
            raise
        except IdempotencyKeyReused:
            require(intent.has_another_body, "INV-8", f"{intent.key} is refused for what another one was asked for")
            raise


def ask_otherwise(custody: Custody, intent: Intent) -> None:
    """Asks for another payment under the same key, which has to be refused."""
    if intent.payouts is not None:
        _ask_for_all_otherwise(custody, intent.payouts)
        return
    intent.has_another_body = True
    other, denied = attrs.evolve(intent, amount=intent.amount + 1, id=None), None
    try:
        ask(custody, other)
    except IdempotencyKeyReused:
        return
    except PolicyDenied as problem:
        denied = problem
    if intent.id is None:
        # It was never asked before: what was just said is what it stands for from now on.
        intent.amount, intent.id = other.amount, other.id
    same = (intent.amount, intent.id) == (other.amount, other.id)
    require(same, "INV-8", f"{intent.key} was taken with another body")
    if denied is not None:
        raise denied


def ask_together(custody: Custody, intents: Sequence[Intent]) -> list[Intent]:
    """Asks for payments that arrive at the same moment, as a web process does: it waits for no wallet that somebody else holds.

    Those that have no answer yet.
    """
    asked = [custody.transactions.ask(intent.wallet.id, **_body(intent)) for intent in intents]
    left = []
    for intent, outcome in zip(intents, custody.transactions.accept_all(asked, wait=False), strict=True):
        _take(intent, outcome)
        if isinstance(outcome, ANSWERS_THAT_MAY_PASS):
            left.append(intent)
    return left


def ask_for_all(custody: Custody, payouts: Payouts) -> None:
    """Asks for payments under one key. What is wrong with one is no other's matter."""
    outcomes = custody.transactions.accept_batch(_batch(payouts, 0), idempotency_key=payouts.key)
    for intent, outcome in zip(payouts.intents, outcomes, strict=True):
        _take(intent, outcome)
    for outcome in outcomes:
        if isinstance(outcome, ANSWERS_THAT_MAY_PASS):
            raise outcome


def _ask_for_all_otherwise(custody: Custody, payouts: Payouts) -> None:
    if not any(intent.id for intent in payouts.intents):
        return  # its key may be free still
    try:
        custody.transactions.accept_batch(_batch(payouts, 1), idempotency_key=payouts.key)
    except IdempotencyKeyReused:
        return
    require(False, "INV-8", f"{payouts.key} was taken with another body")


def _batch(payouts: Payouts, more: int) -> Batch:
    items = [
        Payout(to=each.to, amount=each.amount + more, asset=each.asset, external_id=each.external_id or each.key)
        for each in payouts.intents
    ]
    return Batch(wallet_id=payouts.wallet.id, payouts=items)


def _body(intent: Intent) -> dict[str, Any]:
    body: dict[str, Any] = {"to": intent.to, "idempotency_key": intent.idempotency_key, "external_id": intent.external_id}
    if intent.data is not None:
        return body | {"data": intent.data, "value": intent.amount, "access_list": intent.access_list}
    return body | {"amount": intent.amount, "asset": intent.asset, "fee_per_gas_max_wei": intent.cap_wei}


def _take(intent: Intent, outcome: Accepted | CustodyError) -> None:
    if isinstance(outcome, Accepted):
        _is_made(intent, outcome.transaction.id)
    elif isinstance(outcome, PolicyDenied):
        _is_denied(intent, outcome)


def _is_denied(intent: Intent, denied: PolicyDenied) -> None:
    """It is kept, as rejected, and is what the key stands for."""
    _is_made(intent, str(denied.extra["transaction_id"]))


def _is_made(intent: Intent, id_: str) -> None:
    require(intent.id in {None, id_}, "INV-8", f"{intent.key} made {intent.id} and {id_}")
    intent.id = id_
