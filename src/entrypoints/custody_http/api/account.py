"""Who is asking, and the API keys that ask for them."""

from __future__ import annotations

from custody_core.domain.access import Scope
from custody_core.domain.resources import api_key_resource
from custody_http import schemas
from custody_http.present import me_resource
from custody_http.registry import Access, Call, KeyRule, Reach, Reply, Route, page


def me(call: Call) -> Reply:
    return Reply(me_resource(call.principal))


def list_keys(call: Call) -> Reply:
    return page(
        call,
        lambda limit, before: call.custody.api_keys.list(_whose(call), limit=limit, before_id=before),
        position=lambda key: key.id,
        show=api_key_resource,
    )


def create_key(call: Call) -> Reply:
    body: schemas.NewApiKey = call.body
    key, secret = call.custody.api_keys.create(
        call.principal.user.id,
        name=body.name,
        scopes=body.scopes,
        expires_at=body.expires_at,
        within=call.principal.scopes,
        expires_with=call.principal.expires_at,
        actor=call.actor,
    )
    return Reply(api_key_resource(key), 201, {"Location": f"/v1/api-keys/{key.id}"}, shown_once={"secret": secret})


def revoke_key(call: Call) -> Reply:
    return Reply(api_key_resource(call.custody.api_keys.revoke(call.ids["key_id"], owner_id=_whose(call), actor=call.actor)))


def _whose(call: Call) -> str | None:
    """An API key is somebody's own: others' are for those who manage users, not for everyone who sees every owner's wallets."""
    return None if Scope.USERS_MANAGE in call.principal.scopes else call.principal.user.id


ROUTES = (
    Route(
        method="GET",
        path="/me",
        summary="Show who is asking, and what they may do",
        access=Access.SIGNED_IN,
        reach=Reach.OWNER,
        query=schemas.Nothing,
        body=None,
        key=KeyRule.IGNORED,
        answer=me,
    ),
    Route(
        method="GET",
        path="/api-keys",
        summary="List API keys, newest first, revoked ones too",
        access=Scope.API_KEYS_MANAGE,
        reach=Reach.OWNER,
        query=schemas.PageQuery,
        body=None,
        key=KeyRule.IGNORED,
        answer=list_keys,
    ),
    Route(
        method="POST",
        path="/api-keys",
        summary="Make an API key with no more rights than the one that asks; its secret is shown this once",
        access=Scope.API_KEYS_MANAGE,
        reach=Reach.OWNER,
        query=schemas.Nothing,
        body=schemas.NewApiKey,
        key=KeyRule.WELCOME,
        answer=create_key,
    ),
    Route(
        method="DELETE",
        path="/api-keys/<key_id>",
        summary="Revoke an API key",
        access=Scope.API_KEYS_MANAGE,
        reach=Reach.OWNER,
        query=schemas.Nothing,
        body=None,
        key=KeyRule.IGNORED,
        answer=revoke_key,
    ),
)
