"""Which token contracts count."""

from __future__ import annotations

from custody_core import NotFound, Token, ValidationFailed
from custody_core.domain.access import Scope
from custody_core.domain.money import parse_base_units
from custody_core.domain.resources import token_resource
from custody_http import schemas
from custody_http.parse import read_chain
from custody_http.registry import Access, Call, KeyRule, Reach, Reply, Route


def list_(call: Call) -> Reply:
    query: schemas.TokensQuery = call.query
    return Reply({"data": [token_resource(each) for each in call.custody.tokens.list(chain_id=read_chain(query.chain))]})


def add(call: Call) -> Reply:
    body: schemas.NewToken = call.body
    token = call.custody.tokens.add(
        chain_id=_chain(call, body.chain),
        address=body.address,
        alias=body.alias,
        decimals=body.decimals,
        dust=_dust(body.dust),
        actor=call.actor,
    )
    return Reply(token_resource(token), 201, {"Location": f"/v1/tokens/{token.id}"})


def change(call: Call) -> Reply:
    body: schemas.TokenChange = call.body
    token_id, dust = call.ids["token_id"], _dust(body.dust)
    if body.state is None and dust is None:
        raise ValidationFailed("say what to change: state, or dust", pointer="")
    if body.state is None:
        return Reply(token_resource(call.custody.tokens.set_dust(token_id, dust or 0, actor=call.actor)))
    token = call.custody.tokens.disable(token_id, actor=call.actor) if body.state == "disabled" else _listed_again(call)
    if dust is not None:
        token = call.custody.tokens.set_dust(token_id, dust, actor=call.actor)
    return Reply(token_resource(token))


def _dust(text: str | None) -> int | None:
    return None if text is None else parse_base_units(text, pointer="/dust", minimum=0)


def _listed_again(call: Call) -> Token:
    token = next((each for each in call.custody.tokens.list() if each.id == call.ids["token_id"]), None)
    if token is None or token.asset.contract is None:
        raise NotFound("no such token")
    asset = token.asset
    return call.custody.tokens.add(
        chain_id=asset.chain_id, address=token.asset.contract, alias=asset.alias, decimals=asset.decimals, actor=call.actor
    )


def _chain(call: Call, named: str | None) -> int:
    chain_id = read_chain(named)
    if chain_id is not None:
        return chain_id
    if len(call.custody.chain_ids) != 1:
        raise ValidationFailed("this service follows several chains; say which one", pointer="/chain")
    return call.custody.chain_ids[0]


ROUTES = (
    Route(
        method="GET",
        path="/tokens",
        summary="List all tokens that were ever listed",
        access=Access.SIGNED_IN,
        reach=Reach.SHARED,
        query=schemas.TokensQuery,
        body=None,
        key=KeyRule.IGNORED,
        answer=list_,
    ),
    Route(
        method="POST",
        path="/tokens",
        summary="List a token; the same one again changes nothing",
        access=Scope.TOKENS_WRITE,
        reach=Reach.SHARED,
        query=schemas.Nothing,
        body=schemas.NewToken,
        key=KeyRule.WELCOME,
        answer=add,
    ),
    Route(
        method="PATCH",
        path="/tokens/<token_id>",
        summary="Disable a token, list it again, or change its dust threshold",
        access=Scope.TOKENS_WRITE,
        reach=Reach.SHARED,
        query=schemas.Nothing,
        body=schemas.TokenChange,
        key=KeyRule.WELCOME,
        answer=change,
    ),
)
