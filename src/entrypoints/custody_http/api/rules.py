"""The chains that are followed, and the policies in force."""

from __future__ import annotations

from custody_core import NotFound, Policy
from custody_core.domain.access import Scope
from custody_core.domain.policy import Layer
from custody_core.services.resources import chain_resource, policy_resource
from custody_http import schemas
from custody_http.registry import Access, Call, KeyRule, Reach, Reply, Route


def chains(call: Call) -> Reply:
    return Reply({"data": [chain_resource(each) for each in call.custody.chains.list()]})


def policies(call: Call) -> Reply:
    return Reply({"data": [policy_resource(each) for each in call.custody.policies.active() if _binds_caller(call, each)]})


def _binds_caller(call: Call, policy: Policy) -> bool:
    """Whether the policy is about everybody, or about what the caller may see."""
    if call.owner is None or policy.layer is Layer.GLOBAL:
        return True
    if policy.layer is Layer.OWNER:
        return policy.subject == call.owner
    try:
        call.custody.wallets.get(policy.subject or "", owner_id=call.owner)
    except NotFound:
        return False
    return True


ROUTES = (
    Route(
        method="GET",
        path="/chains",
        summary="Show how far each chain is followed",
        access=Access.SIGNED_IN,
        reach=Reach.SHARED,
        query=schemas.Nothing,
        body=None,
        key=KeyRule.IGNORED,
        answer=chains,
    ),
    Route(
        method="GET",
        path="/policies/active",
        summary="Show the policies in force that bind the caller",
        access=Scope.WALLETS_READ,
        reach=Reach.OWNER,
        query=schemas.Nothing,
        body=None,
        key=KeyRule.IGNORED,
        answer=policies,
    ),
)
