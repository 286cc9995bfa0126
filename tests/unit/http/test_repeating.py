"""Where an idempotency key may come, it is kept with what it did: the same request gets the same answer and does nothing again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from custody_core import Role, ether
from custody_http.registry import KeyRule
from custody_http.routes import ROUTES
from custody_memory.chain import MemoryChain
from tests.unit.http.site import Person, Site
from tests.unit.http.test_access import quarantined

TOKEN = MemoryChain().deploy_token()

Body = Mapping[str, object]


def wallet_path(site: Site, person: Person) -> str:
    return f"/v1/wallets/{site.wallet_of(person)}"


def frozen_path(site: Site, person: Person) -> str:
    path = wallet_path(site, person)
    assert site.post(f"{path}/freeze", person).status_code == 200
    return path


def transaction_path(site: Site, person: Person) -> str:
    sent = site.bench.send(site.bench.wallet(person.user.id, wei=ether("1")))
    return f"/v1/transactions/{sent.id}"


def broadcasting_path(site: Site, person: Person) -> str:
    path = transaction_path(site, person)
    site.bench.rounds()
    return path


def quarantined_path(site: Site, person: Person) -> str:
    return f"/v1/transactions/{quarantined(site, site.bench.wallet(person.user.id).id)}"


def token_path(site: Site, _person: Person) -> str:
    site.bench.token()
    (token,) = site.bench.custody.tokens.list()
    return f"/v1/tokens/{token.id}"


def deployed_token(site: Site, _person: Person) -> str:
    assert site.bench.chain.deploy_token() == TOKEN
    return ""


def nothing(_site: Site, _person: Person) -> str:
    return ""


ROUTES_WITH_A_KEY: Mapping[str, tuple[Callable[[Site, Person], str], str, Body, Body]] = {
    "PATCH /wallets/<wallet_id>": (wallet_path, "", {"label": "a"}, {"label": "b"}),
    "POST /wallets/<wallet_id>/freeze": (wallet_path, "/freeze", {"reason": "a"}, {"reason": "b"}),
    "POST /wallets/<wallet_id>/unfreeze": (frozen_path, "/unfreeze", {}, {}),
    "POST /transactions/<transaction_id>/cancel": (transaction_path, "/cancel", {}, {}),
    "POST /transactions/<transaction_id>/speed-up": (broadcasting_path, "/speed-up", {}, {}),
    "POST /transactions/<transaction_id>/release": (quarantined_path, "/release", {"note": "a"}, {"note": "b"}),
    "POST /tokens": (
        deployed_token,
        "/v1/tokens",
        {"address": TOKEN, "alias": "usdc", "decimals": 6},
        {"address": TOKEN, "alias": "usdc", "decimals": 7},
    ),
    "PATCH /tokens/<token_id>": (token_path, "", {"state": "disabled"}, {"state": "listed"}),
    "POST /api-keys": (
        nothing,
        "/v1/api-keys",
        {"name": "a", "scopes": ["wallets:read"]},
        {"name": "a", "scopes": ["wallets:read"], "expires_at": "2999-01-01T00:00:00Z"},
    ),
}


@pytest.fixture
def admin(site: Site) -> Person:
    return site.person("root", Role.ADMIN)


def audited(site: Site) -> int:
    """How many rows the audit trail has."""
    site.bench.custody.seal()
    return len(site.bench.custody.audit.list(limit=100_000))


def asked(site: Site, name: str, path: str, person: Person, body: Body, key: str = "k") -> Any:
    return site.call(name.partition(" ")[0], path, person, json=body, headers={"Idempotency-Key": key})


def test_these_are_all_the_routes_where_a_key_may_come() -> None:
    assert {route.name for route in ROUTES if route.key is KeyRule.WELCOME} == ROUTES_WITH_A_KEY.keys()
    assert all(
        route.key is not KeyRule.IGNORED or route.path.endswith(("/preview", "/scans"))
        for route in ROUTES
        if route.method == "POST"
    )


@pytest.mark.parametrize("name", ROUTES_WITH_A_KEY)
def test_the_same_request_gets_the_same_answer_and_does_nothing_again(site: Site, admin: Person, name: str) -> None:
    prepare, action, body, other = ROUTES_WITH_A_KEY[name]
    path = prepare(site, admin) + action
    first = asked(site, name, path, admin, body)
    assert (first.status_code in {200, 201}, "Idempotency-Replayed" in first.headers) == (True, False)
    before = audited(site)
    again = asked(site, name, path, admin, body)
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (first.status_code, "true")
    assert again.headers.get("Location") == first.headers.get("Location")
    assert again.json == ({**first.json, "secret": None} if "secret" in first.json else first.json)
    if other != body:
        reused = asked(site, name, path, admin, other)
        assert (reused.status_code, reused.json["code"]) == (422, "idempotency-key-reused")
    assert audited(site) == before


def test_a_key_is_bound_to_what_the_path_names(site: Site) -> None:
    alice = site.person("alice")
    first, second = wallet_path(site, alice), wallet_path(site, alice)
    assert asked(site, "POST", f"{first}/freeze", alice, {}).status_code == 200
    assert asked(site, "POST", f"{second}/freeze", alice, {}).json["code"] == "idempotency-key-reused"
    assert site.get(second, alice).json["state"] == "open"


def test_a_retry_that_comes_late_does_not_undo_what_came_between(site: Site) -> None:
    alice = site.person("alice")
    path = wallet_path(site, alice)
    frozen = asked(site, "POST", f"{path}/freeze", alice, {}, "freeze")
    assert asked(site, "POST", f"{path}/unfreeze", alice, {}, "unfreeze").json["state"] == "open"
    late = asked(site, "POST", f"{path}/freeze", alice, {}, "freeze")
    assert (late.json, late.headers["Idempotency-Replayed"]) == (frozen.json, "true")
    assert site.get(path, alice).json["state"] == "open"


def test_a_refusal_does_not_use_the_key_up_and_keeps_nothing(site: Site, admin: Person) -> None:
    alice = site.person("alice")
    path = wallet_path(site, alice)
    before = audited(site)
    refused = asked(site, "POST", f"{path}/unfreeze", alice, {})
    assert (refused.status_code, refused.json["code"]) == (409, "invalid-state-transition")
    taken = {"address": TOKEN, "alias": "no alias", "decimals": 6}
    assert asked(site, "POST", "/v1/tokens", admin, taken).status_code == 422
    assert audited(site) == before
    assert site.post(f"{path}/freeze", alice).status_code == 200
    now_it_can = asked(site, "POST", f"{path}/unfreeze", alice, {})
    assert (now_it_can.status_code, "Idempotency-Replayed" in now_it_can.headers) == (200, False)


def test_a_key_is_its_callers_own_and_its_routes_own(site: Site) -> None:
    alice, bob = site.person("alice"), site.person("bob")
    body = {"name": "ci", "scopes": ["wallets:read"]}
    made = [asked(site, "POST", "/v1/api-keys", person, body) for person in (alice, bob)]
    assert [(each.status_code, "Idempotency-Replayed" in each.headers) for each in made] == [(201, False)] * 2
    assert made[0].json["id"] != made[1].json["id"]
    path = wallet_path(site, alice)
    assert asked(site, "POST", f"{path}/freeze", alice, {}).status_code == 200
    assert asked(site, "POST", f"{path}/unfreeze", alice, {}).status_code == 200
    rotated = Person(alice.user, made[0].json["secret"])
    assert asked(site, "POST", f"{path}/freeze", rotated, {}).status_code == 403, "what may not be asked is not repeated either"


def test_a_secret_is_shown_once_and_kept_nowhere(site: Site) -> None:
    alice = site.person("alice")
    body = {"name": "ci", "scopes": ["wallets:read"]}
    first, again = (asked(site, "POST", "/v1/api-keys", alice, body).json for _ in range(2))
    assert site.get("/v1/me", Person(alice.user, first["secret"])).status_code == 200
    assert (again["id"], again["secret"]) == (first["id"], None)
    with site.bench.custody._kit.store.reading() as unit:
        record = unit.idempotency(f"{alice.user.id} POST /api-keys", "k")
    assert record is not None
    assert record.object_id == first["id"]
    assert first["secret"] not in str(record)
    assert len([each for each in site.get("/v1/api-keys", alice).json["data"] if each["name"] == "ci"]) == 1


def test_without_a_key_each_request_is_one_of_its_own(site: Site) -> None:
    alice = site.person("alice")
    body = {"name": "ci", "scopes": ["wallets:read"]}
    headers = {"Authorization": f"Bearer {alice.secret}"}
    made = [site.app.test_client().post("/v1/api-keys", json=body, headers=headers) for _ in range(2)]
    assert len({each.get_json()["id"] for each in made}) == 2


def test_a_key_that_is_none_is_refused_where_it_may_come(site: Site) -> None:
    alice = site.person("alice")
    refused = asked(site, "POST", f"{wallet_path(site, alice)}/freeze", alice, {}, "a key")
    assert (refused.status_code, refused.json["code"]) == (400, "invalid-request")
