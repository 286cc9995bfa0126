"""Transactions of both directions: asked for, looked at, taken back."""

from __future__ import annotations

from typing import TypedDict

from msgspec import UNSET

from custody_core import CustodyError, Transaction, ValidationFailed
from custody_core.domain.access import Scope
from custody_core.domain.money import parse_base_units
from custody_core.domain.resources import Resource, attempt_resource
from custody_core.services.accepting import Accepted
from custody_core.services.batching import Batch, Payout
from custody_core.services.resources import movement_resource, preview_resource
from custody_http import schemas
from custody_http.errors import problem_of
from custody_http.parse import read_chain, read_moment
from custody_http.registry import Call, KeyRule, Reach, Reply, Route, page


def create(call: Call) -> Reply:
    body: schemas.NewTransaction = call.body
    asked = call.custody.transactions.ask(
        body.wallet_id,
        to=body.to,
        asset=body.asset,
        **_moved(body),
        chain_id=read_chain(body.chain),
        tier=body.fee.tier,
        fee_per_gas_max_wei=_fee_cap(body.fee),
        external_id=body.external_id,
        metadata=body.metadata,
        idempotency_key=call.key or "",
        owner_id=call.owner,
        actor=call.actor,
    )
    accepted = call.sends.accept(asked)
    headers = {"Location": f"/v1/transactions/{accepted.transaction.id}"}
    if accepted.replayed:
        headers["Idempotency-Replayed"] = "true"
    return Reply(accepted.answer, 201, headers)


def create_batch(call: Call) -> Reply:
    body: schemas.NewBatch = call.body
    payouts = [
        Payout(
            to=item.to,
            amount=parse_base_units(item.amount, pointer=f"/items/{index}/amount"),
            external_id=item.external_id,
            asset=item.asset,
            metadata=item.metadata,
        )
        for index, item in enumerate(body.items)
    ]
    batch = Batch(
        wallet_id=body.wallet_id,
        payouts=payouts,
        chain_id=read_chain(body.chain),
        tier=body.fee.tier,
        fee_per_gas_max_wei=_fee_cap(body.fee),
    )
    outcomes = call.custody.transactions.accept_batch(batch, idempotency_key=call.key or "", owner_id=call.owner, actor=call.actor)
    results = [_item(payout.external_id, outcome) for payout, outcome in zip(payouts, outcomes, strict=True)]
    replayed = all(isinstance(outcome, Accepted) and outcome.replayed for outcome in outcomes)
    return Reply({"data": results}, 200, {"Idempotency-Replayed": "true"} if replayed else {})


def _item(external_id: str, outcome: Accepted | CustodyError) -> Resource:
    """What became of one payout: the status and the body that it would have had alone."""
    if isinstance(outcome, CustodyError):
        problem = problem_of(outcome)
        told = {"code": problem.code, "detail": problem.detail, "errors": list(problem.errors), **problem.extra}
        return {"external_id": external_id, "status": problem.status, "transaction": None, "problem": told}
    return {"external_id": external_id, "status": 201, "transaction": dict(outcome.answer), "problem": None}


def preview(call: Call) -> Reply:
    body: schemas.Transfer = call.body
    found = call.custody.transactions.preview(
        body.wallet_id,
        to=body.to,
        asset=body.asset,
        **_moved(body),
        chain_id=read_chain(body.chain),
        tier=body.fee.tier,
        fee_per_gas_max_wei=_fee_cap(body.fee),
        owner_id=call.owner,
    )
    return Reply(preview_resource(found))


def list_(call: Call) -> Reply:
    query: schemas.TransactionsQuery = call.query
    heads = call.custody.chains.heads()
    return page(
        call,
        lambda limit, before: call.custody.transactions.list(
            owner_id=call.owner,
            wallet_id=query.wallet_id,
            direction=query.direction,
            state=query.state,
            asset=query.asset,
            external_id=query.external_id,
            created_since=read_moment(query.created_since, pointer="/created_at[gte]"),
            limit=limit,
            before_id=before,
        ),
        position=lambda movement: movement.id,
        show=lambda movement: movement_resource(movement, heads),
    )


def get(call: Call) -> Reply:
    found = call.custody.transactions.get(call.ids["transaction_id"], owner_id=call.owner)
    return Reply(movement_resource(found, call.custody.chains.heads()))


def attempts(call: Call) -> Reply:
    found = call.custody.transactions.get(call.ids["transaction_id"], owner_id=call.owner)
    made = found.attempts if isinstance(found, Transaction) else ()
    return Reply({"data": [attempt_resource(each) for each in made]})


def cancel(call: Call) -> Reply:
    body: schemas.Cancellation = call.body
    cancelled = call.custody.transactions.cancel(
        call.ids["transaction_id"],
        fee_per_gas_max_wei=None if body.fee is None else _cap_of(body.fee.fee_per_gas_max_wei),
        owner_id=call.owner,
        actor=call.actor,
    )
    return Reply(movement_resource(cancelled, call.custody.chains.heads()))


def speed_up(call: Call) -> Reply:
    hurried = call.custody.transactions.speed_up(call.ids["transaction_id"], owner_id=call.owner, actor=call.actor)
    return Reply(movement_resource(hurried, call.custody.chains.heads()))


def release(call: Call) -> Reply:
    body: schemas.Release = call.body
    transaction_id = call.ids["transaction_id"]
    released = call.custody.transactions.release(transaction_id, note=body.note, owner_id=call.owner, actor=call.actor)
    return Reply(movement_resource(released, call.custody.chains.heads()))


class _Moved(TypedDict):
    """What a body says that its transaction moves and does, as `ask` and `preview` take it."""

    amount: int | None
    data: str | None
    value: int | None
    access_list: list[dict[str, object]]


def _moved(body: schemas.Transfer) -> _Moved:
    if (body.type == "contract_call") != (body.data is not UNSET):
        detail = "a contract call has data" if body.data is UNSET else "data belongs to the type contract_call"
        raise ValidationFailed(detail, pointer="/data")
    if body.type == "transfer" and body.amount is UNSET:
        raise ValidationFailed("a transfer has an amount", pointer="/amount")
    return {
        "amount": None if body.amount is UNSET else parse_base_units(body.amount),
        "data": None if body.data is UNSET else body.data,
        "value": None if body.value is UNSET else parse_base_units(body.value, pointer="/value", minimum=0),
        "access_list": [{"address": each.address, "storageKeys": each.storage_keys} for each in body.access_list],
    }


def _fee_cap(fee: schemas.FeeWish) -> int | None:
    return None if fee.fee_per_gas_max_wei is None else _cap_of(fee.fee_per_gas_max_wei)


def _cap_of(text: str) -> int:
    return parse_base_units(text, pointer="/fee/fee_per_gas_max_wei")


ROUTES = (
    Route(
        method="POST",
        path="/transactions",
        summary="Send from a wallet",
        access=Scope.TRANSACTIONS_CREATE,
        reach=Reach.OWNER,
        query=schemas.Nothing,
        body=schemas.NewTransaction,
        key=KeyRule.REQUIRED,
        answer=create,
    ),
    Route(
        method="POST",
        path="/transactions/batch",
        summary="Send many payouts from one wallet, each with a result of its own",
        access=Scope.TRANSACTIONS_CREATE,
        reach=Reach.OWNER,
        query=schemas.Nothing,
        body=schemas.NewBatch,
        key=KeyRule.REQUIRED,
        answer=create_batch,
    ),
    Route(
        method="POST",
        path="/transactions/preview",
        summary="Say what a send would cost and whether it would be accepted; moves nothing",
        access=Scope.TRANSACTIONS_READ,
        reach=Reach.OWNER,
        query=schemas.Nothing,
        body=schemas.Transfer,
        key=KeyRule.IGNORED,
        answer=preview,
    ),
    Route(
        method="GET",
        path="/transactions",
        summary="List transactions of both directions, newest first",
        access=Scope.TRANSACTIONS_READ,
        reach=Reach.OWNER,
        query=schemas.TransactionsQuery,
        body=None,
        key=KeyRule.IGNORED,
        answer=list_,
    ),
    Route(
        method="GET",
        path="/transactions/<transaction_id>",
        summary="Show a transaction",
        access=Scope.TRANSACTIONS_READ,
        reach=Reach.OWNER,
        query=schemas.Nothing,
        body=None,
        key=KeyRule.IGNORED,
        answer=get,
    ),
    Route(
        method="GET",
        path="/transactions/<transaction_id>/attempts",
        summary="List the signed versions of an outgoing transaction, oldest first",
        access=Scope.TRANSACTIONS_READ,
        reach=Reach.OWNER,
        query=schemas.Nothing,
        body=None,
        key=KeyRule.IGNORED,
        answer=attempts,
    ),
    Route(
        method="POST",
        path="/transactions/<transaction_id>/cancel",
        summary="Take an outgoing transaction back",
        access=Scope.TRANSACTIONS_CREATE,
        reach=Reach.OWNER,
        query=schemas.Nothing,
        body=schemas.Cancellation,
        key=KeyRule.WELCOME,
        answer=cancel,
    ),
    Route(
        method="POST",
        path="/transactions/<transaction_id>/speed-up",
        summary="Have an outgoing transaction mined sooner, paying more within its cap",
        access=Scope.TRANSACTIONS_CREATE,
        reach=Reach.OWNER,
        query=schemas.Nothing,
        body=schemas.Nothing,
        key=KeyRule.WELCOME,
        answer=speed_up,
    ),
    Route(
        method="POST",
        path="/transactions/<transaction_id>/release",
        summary="Give a quarantined deposit to its owner",
        access=Scope.OPS_ADMIN,
        reach=Reach.OWNER,
        query=schemas.Nothing,
        body=schemas.Release,
        key=KeyRule.WELCOME,
        answer=release,
    ),
)
