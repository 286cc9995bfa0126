"""Every route is declared, and closed to whoever may not: nobody, somebody unknown, too few rights, another owner (A-01, A-02)."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import attrs
import msgspec
import pytest

from custody_core import Role, Scope, ether
from custody_core.domain.ids import IdPrefix
from custody_core.domain.resources import time_text
from custody_http.registry import Access, KeyRule, Reach, Route
from custody_http.routes import ROUTES
from tests.support import factories
from tests.unit.core.services.bench import FINALITY, FRIEND, contract_of
from tests.unit.http.site import Person, Site

OUTSIDE_THE_REGISTRY = {"/livez", "/readyz", "/metrics", "/v1/openapi.json"}
BY_NAME = pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)

BODIES: dict[str, dict[str, Any]] = {
    "POST /wallets": {"label": "x"},
    "PATCH /wallets/<wallet_id>": {"label": "x"},
    "POST /transactions": {"wallet_id": "", "to": FRIEND, "amount": "1"},
    "POST /transactions/batch": {"wallet_id": "", "items": [{"to": FRIEND, "amount": "1", "external_id": "order-1"}]},
    "POST /transactions/preview": {"wallet_id": "", "to": FRIEND, "amount": "1"},
    "POST /transactions/<transaction_id>/release": {"note": "x"},
    "POST /scans": {"from": 1},
    "POST /tokens": {"address": FRIEND, "alias": "tkn", "decimals": 6},
    "PATCH /tokens/<token_id>": {"state": "disabled"},
    "POST /api-keys": {"name": "x", "scopes": ["api_keys:manage"]},
}
QUERIES = {"GET /statements": "wallet_id", "GET /ledger-entries": "wallet_id"}
"""The parameter that names somebody's object."""
NEEDS_EVERY_OWNER = {"GET /audit-events", "GET /reconciliations/latest", "POST /scans"}


@attrs.frozen
class Owned:
    """What somebody owns, by the name of the path's part or the body's field; and ids of the same kinds that nobody has."""

    ids: dict[str, str]
    unknown: dict[str, str]


def owned_by(site: Site, person: Person) -> Owned:
    wallet = site.bench.wallet(person.user.id, wei=ether("1"))
    key, _ = site.bench.custody.api_keys.create(person.user.id, name="other", scopes=["wallets:read"])
    sent = site.bench.send(wallet, ether("0.1"))
    ids = {"wallet_id": wallet.id, "transaction_id": sent.id, "key_id": key.id, "address": wallet.address}
    unknown = {
        "wallet_id": factories.identifier(IdPrefix.WALLET),
        "transaction_id": factories.identifier(IdPrefix.TRANSACTION),
        "key_id": factories.identifier(IdPrefix.API_KEY),
        "address": factories.address(0xBEEF),
    }
    return Owned(ids, unknown)


def asked(site: Site, route: Route, person: Person | None, ids: dict[str, str]) -> Any:
    """The route's answer, asked with `ids` in its path and body."""
    path = "/v1" + re.sub(r"<(\w+)>", lambda part: ids.get(part[1], factories.identifier(IdPrefix.TOKEN)), route.path)
    if named := QUERIES.get(route.name):
        path += f"?{named}={ids.get(named, '')}"
    body = dict(BODIES.get(route.name, {}))
    if "wallet_id" in body:
        body["wallet_id"] = ids.get("wallet_id", "")
    if route.name == "POST /tokens":
        body["address"] = site.bench.chain.deploy_token()
    return site.call(route.method, path, person, **({"json": body} if route.body else {}))


def shown(answer: Any) -> tuple[int, dict[str, Any]]:
    """An answer without what differs from request to request."""
    document = {name: value for name, value in answer.json.items() if name not in {"request_id", "instance"}}
    return answer.status_code, document


def test_the_registry_is_all_there_is(site: Site) -> None:
    served = {(method, rule.rule) for rule in site.app.url_map.iter_rules() for method in (rule.methods or set()) - {"HEAD"}}
    registered = {(route.method, "/v1" + route.path) for route in ROUTES}
    assert served - registered == {("GET", path) for path in OUTSIDE_THE_REGISTRY}
    assert registered <= served
    assert len(registered) == len(ROUTES)


@BY_NAME
def test_a_route_says_everything_about_itself(route: Route) -> None:
    assert isinstance(route.access, Scope | Access)
    assert route.access is not Access.PUBLIC
    assert isinstance(route.reach, Reach)
    assert route.summary
    for schema in (route.query, route.body):
        if schema is not None:
            assert issubclass(schema, msgspec.Struct)
            assert schema.__struct_config__.forbid_unknown_fields
    assert (route.body is not None) is (route.method in {"POST", "PATCH", "PUT"})
    assert (route.key is KeyRule.IGNORED) is (route.method in {"GET", "DELETE"} or route.path.endswith(("/preview", "/scans")))
    assert set(re.findall(r"<(\w+)>", route.path)) <= {"wallet_id", "transaction_id", "token_id", "key_id", "address"}
    assert "<" not in route.path or route.reach is not Reach.EVERY_OWNER
    if route.name in {"POST /wallets", "POST /transactions"}:
        assert route.key is KeyRule.REQUIRED


@BY_NAME
def test_nobody_gets_in_without_credentials(site: Site, route: Route) -> None:
    alice = site.person("alice")
    revoked = site.person("bob")
    for key in site.bench.custody.api_keys.list(revoked.user.id):
        site.bench.custody.api_keys.revoke(key.id)
    path = "/v1" + re.sub(r"[<>]", "", route.path)
    wrong = ["Bearer ck_" + "A" * 43, "Bearer x", "bearer", f"Basic {alice.secret}", alice.secret]
    wrong += [f"Bearer {alice.secret} ", f"Bearer {revoked.secret}"]
    refusals = [asked(site, route, None, {}), site.call(route.method, path, headers={"Cookie": f"session={alice.secret}"})]
    refusals += [site.call(route.method, path, headers={"Authorization": header}) for header in wrong]
    for refused in refusals:
        assert (refused.status_code, refused.json["code"]) == (401, "unauthenticated")
        assert refused.headers["WWW-Authenticate"].startswith("Bearer")


@BY_NAME
def test_an_expired_key_is_told_so(site: Site, route: Route) -> None:
    late = site.person("late", expires_at=site.bench.clock.now() + timedelta(hours=1))
    site.bench.clock.advance(3600)
    refused = asked(site, route, late, {})
    assert (refused.status_code, refused.json["code"]) == (401, "token-expired")


@BY_NAME
def test_too_few_rights_are_not_enough(site: Site, route: Route) -> None:
    if isinstance(route.access, Access):
        return  # any valid credentials will do
    lacking = frozenset(Scope) - {route.access}
    almost = site.person("almost", Role.ADMIN, scopes=lacking)
    refused = asked(site, route, almost, owned_by(site, almost).ids)
    assert (refused.status_code, refused.json["code"], refused.json["scope"]) == (403, "insufficient-scope", str(route.access))


@BY_NAME
def test_the_scope_that_a_route_names_is_enough(site: Site, route: Route) -> None:
    scopes = frozenset({route.access}) if isinstance(route.access, Scope) else frozenset({Scope.AUDIT_READ})
    person = site.person("admin", Role.ADMIN, scopes=scopes)
    ids = owned_by(site, person).ids
    ids["token_id"] = site.bench.custody.tokens.add(
        chain_id=site.bench.chain.chain_id, address=site.bench.chain.deploy_token(), alias="listed", decimals=6
    ).id
    if route.path.endswith("/speed-up"):
        site.bench.rounds()
    if route.path.endswith("/unfreeze"):
        site.bench.custody.wallets.freeze(ids["wallet_id"], reason="x")
    if route.path.endswith("/release"):
        ids["transaction_id"] = quarantined(site, ids["wallet_id"])
    if route.path.endswith("/latest"):
        site.bench.custody.reconcile()
    answer = asked(site, route, person, ids)
    assert answer.status_code in {200, 201}, answer.json


@BY_NAME
def test_what_is_anothers_is_not_there(site: Site, route: Route) -> None:
    alice, mallory = site.person("alice"), site.person("mallory")
    if route.name in NEEDS_EVERY_OWNER:
        everybody = site.person("reader", Role.ADMIN, scopes=frozenset({Scope.AUDIT_READ}))
        site.bench.custody.users.set_role(everybody.user.id, Role.USER)
        assert asked(site, route, everybody, {}).status_code == 403
        return
    owned = owned_by(site, alice)
    before = site.bench.custody.wallets.get(owned.ids["wallet_id"])
    foreign = asked(site, route, mallory, owned.ids)
    if "<" in route.path or "wallet_id" in BODIES.get(route.name, {}) or route.name == "GET /statements":
        if isinstance(route.access, Scope) and route.access not in mallory_scopes():
            assert foreign.status_code == 403
            return
        assert shown(foreign) == shown(asked(site, route, mallory, owned.unknown))
        assert foreign.status_code == 404
    text = foreign.get_data(as_text=True)
    for name in ("wallet_id", "transaction_id", "key_id", "address"):
        assert owned.ids[name] not in text.replace(foreign.request.path, "")
    assert alice.user.id not in text
    assert site.bench.custody.wallets.get(owned.ids["wallet_id"]) == before


@pytest.mark.parametrize("route", [each for each in ROUTES if "<transaction_id>" in each.path], ids=lambda route: route.name)
def test_a_foreign_deposit_is_not_there_either(site: Site, route: Route) -> None:
    alice, mallory = site.person("alice"), site.person("mallory")
    wallet = site.bench.wallet(alice.user.id, wei=ether("1"))
    (deposit,) = site.bench.deposits(wallet)
    foreign = asked(site, route, mallory, {"transaction_id": deposit.id})
    unknown = asked(site, route, mallory, {"transaction_id": factories.identifier(IdPrefix.TRANSACTION)})
    assert shown(foreign) == shown(unknown)
    if isinstance(route.access, Scope) and route.access not in mallory_scopes():
        assert foreign.status_code == 403
        return
    assert foreign.status_code == 404
    assert asked(site, route, alice, {"transaction_id": deposit.id}).status_code != 404


def quarantined(site: Site, wallet_id: str) -> str:
    """A deposit of a token that was taken off the list before it was final."""
    bench, wallet = site.bench, site.bench.custody.wallets.get(wallet_id)
    token = bench.token("gone")
    bench.chain.send_token(contract_of(token), wallet.address, 5)
    bench.blocks(1)
    (listed,) = [each for each in bench.custody.tokens.list() if each.asset == token]
    bench.custody.tokens.disable(listed.id)
    bench.blocks(FINALITY)
    return next(each.id for each in bench.deposits(wallet) if each.asset == token)


def mallory_scopes() -> set[Scope]:
    return {Scope.WALLETS_READ, Scope.WALLETS_WRITE, Scope.TRANSACTIONS_READ, Scope.TRANSACTIONS_CREATE, Scope.API_KEYS_MANAGE}


@BY_NAME
def test_reading_changes_nothing(site: Site, route: Route) -> None:
    if route.method != "GET":
        return
    admin = site.person("admin", Role.ADMIN)
    ids = owned_by(site, admin).ids
    before = written(site)
    asked(site, route, admin, ids)
    assert written(site) == before


def written(site: Site) -> tuple[int, int]:
    """How many rows the audit trail and the events have."""
    events = len(site.bench.all_events())
    return len(site.bench.custody.audit.list(limit=10_000)), events


@pytest.mark.parametrize(
    "path_id", ["x", "wal_", "wal_" + "z" * 26, "txn_" + "0" * 26, "..%2f..", "%00", "wal_01%0d%0aX: y", "é" * 10]
)
def test_what_cannot_be_an_id_is_not_found(site: Site, path_id: str) -> None:
    alice = site.person("alice")
    for path in (f"/v1/wallets/{path_id}", f"/v1/transactions/{path_id}", f"/v1/transactions/{path_id}/attempts"):
        answer = site.get(path, alice)
        assert (answer.status_code, answer.json["code"]) == (404, "not-found")


def test_those_who_see_every_owner_do(site: Site) -> None:
    alice = site.person("alice")
    wallet = site.wallet_of(alice)
    for role in (Role.OPERATOR, Role.AUDITOR, Role.ADMIN):
        assert site.get(f"/v1/wallets/{wallet}", site.person(f"the-{role}", role)).status_code == 200
    assert site.get(f"/v1/wallets/{wallet}", site.person("the-approver", Role.APPROVER)).status_code == 404


def test_an_owner_does_not_lift_what_an_operator_froze(site: Site) -> None:
    alice, operator = site.person("alice"), site.person("op", Role.OPERATOR)
    wallet = f"/v1/wallets/{site.wallet_of(alice)}"
    assert site.post(f"{wallet}/freeze", alice, json={}).json["frozen_by"] == "owner"
    assert site.post(f"{wallet}/unfreeze", alice, json={}).json["frozen_by"] is None
    assert site.post(f"{wallet}/freeze", operator, json={"reason": "court order"}).json["frozen_by"] == "service"
    assert site.post(f"{wallet}/freeze", alice, json={}).json["reason"] == "court order"
    refused = site.post(f"{wallet}/unfreeze", alice, json={})
    assert (refused.status_code, refused.json["code"]) == (403, "wallet-frozen")
    assert site.get(wallet, alice).json["state"] == "frozen"
    assert site.post(f"{wallet}/unfreeze", operator, json={}).json["state"] == "open"


def test_api_keys_are_ones_own_unless_one_manages_users(site: Site) -> None:
    alice, operator, admin = site.person("alice"), site.person("op", Role.OPERATOR), site.person("adm", Role.ADMIN)
    (key,) = site.get("/v1/api-keys", alice).json["data"]
    assert {each["user_id"] for each in site.get("/v1/api-keys", operator).json["data"]} == {operator.user.id}
    assert site.call("DELETE", f"/v1/api-keys/{key['id']}", operator).status_code == 404
    assert alice.user.id in {each["user_id"] for each in site.get("/v1/api-keys", admin).json["data"]}


def test_a_key_that_expires_makes_none_that_outlives_it(site: Site) -> None:
    end = site.bench.clock.now() + timedelta(hours=1)
    alice, brief = site.person("alice"), site.person("alice", expires_at=end)
    wish = {"name": "x", "scopes": ["wallets:read"]}

    def made(person: Person, **more: str) -> str | None:
        answer = site.post("/v1/api-keys", person, json={**wish, **more})
        assert answer.status_code == 201
        expires_at: str | None = answer.json["expires_at"]
        return expires_at

    later, sooner = (time_text(end + timedelta(minutes=minutes)) for minutes in (30, -30))
    assert made(alice) is None
    assert made(alice, expires_at=later) == later
    assert made(brief) == time_text(end)
    assert made(brief, expires_at=later) == time_text(end)
    assert made(brief, expires_at=sooner) == sooner


def test_a_wallet_for_somebody_else_is_for_operators_to_make(site: Site) -> None:
    alice, bob, operator = site.person("alice"), site.person("bob"), site.person("op", Role.OPERATOR)
    assert site.post("/v1/wallets", alice, json={"owner": alice.user.id}).json["owner"] == alice.user.id
    refused = site.post("/v1/wallets", alice, json={"owner": bob.user.id})
    assert (refused.status_code, refused.json["code"]) == (403, "insufficient-scope")
    assert site.post("/v1/wallets", operator, json={"owner": bob.user.id}).json["owner"] == bob.user.id
    assert site.post("/v1/wallets", operator, json={"owner": "a-name"}).status_code == 422
    assert site.post("/v1/wallets", operator, json={"owner": factories.identifier(IdPrefix.USER)}).status_code == 404


def test_policies_about_others_are_not_shown(site: Site) -> None:
    alice, bob = site.person("alice"), site.person("bob")
    document = {"version": 1, "rules": [{"id": "go", "when": {}, "then": {"allow": True}}]}
    wallet = site.wallet_of(alice)
    site.bench.custody.policies.publish(document, layer="owner", subject=alice.user.id)
    site.bench.custody.policies.publish(document, layer="wallet", subject=wallet)
    assert [each["layer"] for each in site.get("/v1/policies/active", bob).json["data"]] == ["global"]
    assert {each["layer"] for each in site.get("/v1/policies/active", alice).json["data"]} == {"global", "owner", "wallet"}
