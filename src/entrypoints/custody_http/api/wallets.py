"""Wallets, their balances, and who has an address."""

from __future__ import annotations

from msgspec import UNSET

from custody_core import ValidationFailed
from custody_core.domain.access import Scope
from custody_core.domain.ids import IdPrefix, is_id
from custody_core.domain.resources import balance_resource, wallet_resource
from custody_core.domain.wallet import Unset
from custody_core.errors import InsufficientScope
from custody_http import schemas
from custody_http.registry import Call, KeyRule, Reach, Reply, Route, page

_REASON = "asked for over the API"


def create(call: Call) -> Reply:
    body: schemas.NewWallet = call.body
    accepted = call.custody.wallets.accept_create(
        owner=_owner(call, body.owner),
        idempotency_key=call.key or "",
        label=body.label,
        external_id=body.external_id,
        metadata=body.metadata,
        actor=call.actor,
    )
    headers = {"Location": f"/v1/wallets/{accepted.wallet.id}"}
    if accepted.replayed:
        headers["Idempotency-Replayed"] = "true"
    return Reply(accepted.answer, 201, headers)


def list_(call: Call) -> Reply:
    query: schemas.WalletsQuery = call.query
    return page(
        call,
        lambda limit, before: call.custody.wallets.list(
            owner_id=call.owner, external_id=query.external_id, limit=limit, before_id=before
        ),
        position=lambda wallet: wallet.id,
        show=wallet_resource,
    )


def get(call: Call) -> Reply:
    return Reply(wallet_resource(call.custody.wallets.get(call.ids["wallet_id"], owner_id=call.owner)))


def change(call: Call) -> Reply:
    body: schemas.WalletChange = call.body
    changed = call.custody.wallets.describe(
        call.ids["wallet_id"],
        label=Unset.UNSET if body.label is UNSET else body.label,
        metadata=Unset.UNSET if body.metadata is UNSET else body.metadata,
        owner_id=call.owner,
        actor=call.actor,
    )
    return Reply(wallet_resource(changed))


def freeze(call: Call) -> Reply:
    body: schemas.Freeze = call.body
    frozen = call.custody.wallets.freeze(
        call.ids["wallet_id"], reason=body.reason or _REASON, owner_id=call.owner, actor=call.actor
    )
    return Reply(wallet_resource(frozen))


def unfreeze(call: Call) -> Reply:
    return Reply(wallet_resource(call.custody.wallets.unfreeze(call.ids["wallet_id"], owner_id=call.owner, actor=call.actor)))


def balances(call: Call) -> Reply:
    query: schemas.BalancesQuery = call.query
    found = call.custody.wallets.balances(call.ids["wallet_id"], owner_id=call.owner, live=query.live)
    return Reply({"data": [balance_resource(each) for each in found]})


def by_address(call: Call) -> Reply:
    return Reply(wallet_resource(call.custody.wallets.by_address(call.ids["address"], owner_id=call.owner)))


def _owner(call: Call, named: str | None) -> str:
    """Whose the new wallet is: the caller's, or somebody else's where the caller may act for everybody."""
    own = call.principal.user.id
    if named is None or named == own:
        return own
    if call.owner is not None:
        raise InsufficientScope("only an operator makes wallets for others", pointer="/owner")
    if not is_id(named, IdPrefix.USER):
        raise ValidationFailed("an owner is a user's id (usr_…)", pointer="/owner")
    return named


ROUTES = (
    Route(
        method="POST",
        path="/wallets",
        summary="Hand out a wallet",
        access=Scope.WALLETS_WRITE,
        reach=Reach.OWNER,
        query=schemas.Nothing,
        body=schemas.NewWallet,
        key=KeyRule.REQUIRED,
        answer=create,
    ),
    Route(
        method="GET",
        path="/wallets",
        summary="List wallets, newest first, or those with an `external_id`",
        access=Scope.WALLETS_READ,
        reach=Reach.OWNER,
        query=schemas.WalletsQuery,
        body=None,
        key=KeyRule.IGNORED,
        answer=list_,
    ),
    Route(
        method="GET",
        path="/wallets/<wallet_id>",
        summary="Show a wallet",
        access=Scope.WALLETS_READ,
        reach=Reach.OWNER,
        query=schemas.Nothing,
        body=None,
        key=KeyRule.IGNORED,
        answer=get,
    ),
    Route(
        method="PATCH",
        path="/wallets/<wallet_id>",
        summary="Change a wallet's label or metadata",
        access=Scope.WALLETS_WRITE,
        reach=Reach.OWNER,
        query=schemas.Nothing,
        body=schemas.WalletChange,
        key=KeyRule.WELCOME,
        answer=change,
    ),
    Route(
        method="POST",
        path="/wallets/<wallet_id>/freeze",
        summary="Stop a wallet from sending",
        access=Scope.WALLETS_WRITE,
        reach=Reach.OWNER,
        query=schemas.Nothing,
        body=schemas.Freeze,
        key=KeyRule.WELCOME,
        answer=freeze,
    ),
    Route(
        method="POST",
        path="/wallets/<wallet_id>/unfreeze",
        summary="Let a frozen wallet send again; an owner only what that owner froze",
        access=Scope.WALLETS_WRITE,
        reach=Reach.OWNER,
        query=schemas.Nothing,
        body=schemas.Nothing,
        key=KeyRule.WELCOME,
        answer=unfreeze,
    ),
    Route(
        method="GET",
        path="/wallets/<wallet_id>/balances",
        summary="Show what a wallet holds, by chain and asset",
        access=Scope.WALLETS_READ,
        reach=Reach.OWNER,
        query=schemas.BalancesQuery,
        body=None,
        key=KeyRule.IGNORED,
        answer=balances,
    ),
    Route(
        method="GET",
        path="/addresses/<address>",
        summary="Find the wallet that has an address",
        access=Scope.WALLETS_READ,
        reach=Reach.OWNER,
        query=schemas.Nothing,
        body=None,
        key=KeyRule.IGNORED,
        answer=by_address,
    ),
)
