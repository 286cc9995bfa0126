"""Requests as clients make them: idempotency, bodies, headers, hosts, health, metrics."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

import pytest
from werkzeug.test import EnvironBuilder, run_wsgi_app

from custody_core import Role, ether
from custody_core.errors import DatabaseUnavailable
from custody_http.health import LAG_BLOCKS_MAX
from custody_http.security import HEADERS
from tests.unit.core.services.bench import FRIEND
from tests.unit.http.site import Person, Site, open_site

DENY_ALL = {"version": 1, "rules": [{"id": "stop", "when": {}, "then": {"deny": True}}]}


def send(site: Site, person: Person, wallet: str, key: str, **changes: Any) -> Any:
    body = {"wallet_id": wallet, "to": FRIEND, "amount": str(ether("0.1")), **changes}
    return site.post("/v1/transactions", person, json=body, headers={"Idempotency-Key": key})


# Idempotency


def test_the_same_key_and_body_is_the_stored_answer_again(site: Site) -> None:
    alice = site.person("alice")
    wallet = site.wallet_of(alice, wei=ether("1"))
    first = send(site, alice, wallet, "k")
    assert first.status_code == 201
    assert first.headers["Location"] == f"/v1/transactions/{first.json['id']}"
    assert "Idempotency-Replayed" not in first.headers
    site.bench.settle()
    again = send(site, site.person("alice"), wallet, "k")  # with another API key of the same owner
    assert (again.status_code, again.data, again.headers["Location"]) == (201, first.data, first.headers["Location"])
    assert again.headers["Idempotency-Replayed"] == "true"
    assert site.get(first.headers["Location"], alice).json["state"] == "completed"
    assert len(site.get("/v1/transactions?direction=outgoing", alice).json["data"]) == 1


def test_the_same_key_with_another_body_is_refused_without_effect(site: Site) -> None:
    """S-16."""
    alice = site.person("alice")
    wallet = site.wallet_of(alice, wei=ether("1"))
    send(site, alice, wallet, "k")
    for changes in ({"amount": "1"}, {"metadata": {"a": "b"}}, {"fee": {"tier": "fast"}}, {"external_id": "x"}):
        refused = send(site, alice, wallet, "k", **changes)
        assert (refused.status_code, refused.json["code"]) == (422, "idempotency-key-reused")
    assert len(site.get("/v1/transactions?direction=outgoing", alice).json["data"]) == 1


def test_the_same_key_of_another_owner_is_another_key(site: Site) -> None:
    """S-17."""
    ids = set()
    for name in ("alice", "bob"):
        person = site.person(name)
        answer = send(site, person, site.wallet_of(person, wei=ether("1")), "k")
        assert answer.status_code == 201
        assert "Idempotency-Replayed" not in answer.headers
        ids.add(answer.json["id"])
    assert len(ids) == 2


def test_a_denial_is_replayed_too(site: Site) -> None:
    alice = site.person("alice")
    wallet = site.wallet_of(alice, wei=ether("1"))
    site.bench.custody.policies.publish(DENY_ALL)
    first, again = send(site, alice, wallet, "k"), send(site, alice, wallet, "k")
    assert (first.status_code, first.json["code"], first.json["rules"]) == (403, "policy-denied", ["stop"])
    assert first.json["transaction_id"] == again.json["transaction_id"]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert site.get(f"/v1/transactions/{first.json['transaction_id']}", alice).json["state"] == "rejected"


def test_an_error_that_made_nothing_does_not_use_the_key_up(site: Site) -> None:
    alice = site.person("alice")
    wallet = site.wallet_of(alice)
    assert send(site, alice, wallet, "k").json["code"] == "insufficient-funds"
    site.bench.pay_in(site.bench.custody.wallets.get(wallet), ether("1"))
    assert send(site, alice, wallet, "k", amount="5").status_code == 201


@pytest.mark.parametrize("path", ["/v1/wallets", "/v1/transactions"])
def test_making_something_needs_a_key(site: Site, path: str) -> None:
    alice = site.person("alice")
    body = {"wallet_id": site.wallet_of(alice), "to": FRIEND, "amount": "1"} if path == "/v1/transactions" else {}
    missing: Any = site.app.test_client().post(path, json=body, headers={"Authorization": f"Bearer {alice.secret}"})
    assert (missing.status_code, missing.json["code"]) == (400, "idempotency-key-missing")
    for key in ("with space", "é", "x" * 256):
        assert site.post(path, alice, json=body, headers={"Idempotency-Key": key}).status_code == 400


def test_a_wallet_is_handed_out_once_for_a_key(site: Site) -> None:
    alice = site.person("alice")
    first, again = (site.post("/v1/wallets", alice, json={"label": "a"}, headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert (first.status_code, again.status_code, again.data) == (201, 201, first.data)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert site.post("/v1/wallets", alice, json={}, headers={"Idempotency-Key": "k"}).status_code == 422


# Bodies


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        *(
            ("amount", text, "invalid-amount")
            for text in ("1.0", "", "-1", "0x10", "1e18", "NaN", "Infinity", "0", "01", "+1", "\uff11", str(2**256))
        ),
        *(("amount", number, "validation-failed") for number in (1, 1.5, True, None)),
        ("to", FRIEND[2:], "invalid-address"),
        ("to", "0X" + FRIEND[2:], "invalid-address"),
        ("to", FRIEND[:-2], "invalid-address"),
        ("to", FRIEND + "00", "invalid-address"),
        ("to", FRIEND.swapcase().replace("0X", "0x"), "invalid-address"),
        ("to", "0x" + "0" * 40, "invalid-address"),
        ("to", "0x" + "0" * 39 + "1", "invalid-address"),
        ("to", "vitalik.eth", "invalid-address"),
        ("asset", "doge", "unsupported-asset"),
        ("chain", "eip155:1x", "validation-failed"),
        *((name, "x", "validation-failed") for name in ("tenant_id", "status", "role", "approved_by", "from")),
    ],
)
def test_a_field_that_is_wrong_is_named(site: Site, field: str, value: object, code: str) -> None:
    """A-11, S-21, S-22."""
    alice = site.person("alice")
    refused = send(site, alice, site.wallet_of(alice, wei=ether("1")), "k", **{field: value})
    assert (refused.status_code, refused.json["code"]) == (422, code)
    assert refused.json["errors"][0]["pointer"] == f"/{field}"
    assert site.get("/v1/transactions?direction=outgoing", alice).json["data"] == []


def test_ones_own_address_is_no_recipient(site: Site) -> None:
    alice = site.person("alice")
    wallet = site.bench.wallet(alice.user.id, wei=ether("1"))
    assert send(site, alice, wallet.id, "k", to=wallet.address).json["rule"] == "recipient-own-address"


@pytest.mark.parametrize(
    ("data", "content_type", "status"),
    [
        (b'{"amount":"1","amount":"1000"}', "application/json", 400),
        (b'{"amount":NaN}', "application/json", 400),
        (b"[" * 10_000, "application/json", 400),
        (b'{"amount":"\xff"}', "application/json", 400),
        (b'{"label":"\\u0000"}', "application/json", 400),
        (b" " * 70_000, "application/json", 413),
        (b"{}", "text/plain", 415),
        (b"a=b", "application/x-www-form-urlencoded", 415),
    ],
)
def test_a_body_that_is_not_well_formed_is_refused(site: Site, data: bytes, content_type: str, status: int) -> None:
    """A-10, A-12."""
    alice = site.person("alice")
    for path in ("/v1/transactions", "/v1/wallets", "/v1/api-keys", "/v1/transactions/preview"):
        assert site.post(path, alice, data=data, content_type=content_type).status_code == status


# The rest of the surface, once through


def test_a_send_from_preview_to_attempts(site: Site) -> None:
    alice = site.person("alice")
    wallet = site.wallet_of(alice, wei=ether("1"))
    body = {"wallet_id": wallet, "to": FRIEND, "amount": "5", "fee": {"tier": "fast"}, "chain": "eip155:31337"}
    preview = site.post("/v1/transactions/preview", alice, json=body).json
    assert (preview["sufficient"], preview["policy"]["decision"], preview["amount"]) == (True, "allow", "5")
    sent = send(site, alice, wallet, "k", external_id="order-1", metadata={"a": "b"}).json
    assert (sent["state"], sent["external_id"], sent["metadata"], sent["nonce"]) == ("queued", "order-1", {"a": "b"}, None)
    assert send(site, alice, wallet, "k2", external_id="order-1").json["code"] == "external-id-exists"
    site.bench.settle()
    (attempt,) = site.get(f"/v1/transactions/{sent['id']}/attempts", alice).json["data"]
    assert (attempt["kind"], attempt["state"]) == ("payment", "sent")
    late = site.post(f"/v1/transactions/{sent['id']}/cancel", alice)
    assert (late.status_code, late.json["code"]) == (409, "invalid-state-transition")
    queued = send(site, alice, wallet, "k3").json["id"]
    assert site.post(f"/v1/transactions/{queued}/cancel", alice, json={}).json["state"] == "cancelled"
    assert site.post(f"/v1/transactions/{queued}/cancel", alice, json={"force": True}).status_code == 422


def test_a_wallet_from_birth_to_frozen(site: Site) -> None:
    alice = site.person("alice")
    wallet = site.post("/v1/wallets", alice, json={"label": "savings", "external_id": "e", "metadata": {"a": "b"}}).json
    assert (wallet["label"], wallet["state"], wallet["owner"]) == ("savings", "open", alice.user.id)
    path = f"/v1/wallets/{wallet['id']}"
    assert site.call("PATCH", path, alice, json={"label": None}).json["label"] is None
    changed = site.call("PATCH", path, alice, json={"metadata": {}}).json
    assert (changed["label"], changed["metadata"], changed["external_id"]) == (None, {}, "e")
    assert site.call("PATCH", path, alice, json={"external_id": "f"}).status_code == 422
    assert site.get(f"/v1/addresses/{wallet['address'].lower()}", alice).json["id"] == wallet["id"]
    assert site.get("/v1/addresses/0x12", alice).json["code"] == "invalid-address"
    assert site.post(f"{path}/freeze", alice).json["state"] == "frozen"
    refused = send(site, alice, wallet["id"], "k")
    assert (refused.status_code, refused.json["code"]) == (403, "wallet-frozen")
    assert site.post(f"{path}/unfreeze", alice).json["state"] == "open"
    (line,) = site.get(f"{path}/balances", alice).json["data"]
    assert (line["total"], line["on_chain"]["amount"]) == ("0", "0")
    assert site.get(f"{path}/balances?live=false", alice).json["data"][0]["on_chain"] is None


def test_tokens_are_listed_disabled_and_listed_again(site: Site) -> None:
    admin = site.person("admin", Role.ADMIN)
    token = {"address": site.bench.chain.deploy_token(), "alias": "usdc", "decimals": 6}
    made = site.post("/v1/tokens", admin, json=token)
    assert made.status_code == 201
    path = f"/v1/tokens/{made.json['id']}"
    assert site.call("PATCH", path, admin, json={"state": "disabled"}).json["state"] == "disabled"
    assert site.call("PATCH", path, admin, json={"state": "listed"}).json["state"] == "listed"
    assert site.call("PATCH", "/v1/tokens/tok_x", admin, json={"state": "listed"}).status_code == 404
    assert [each["id"] for each in site.get("/v1/tokens?chain=eip155:31337", admin).json["data"]] == [made.json["id"]]


def test_an_api_key_is_shown_once_and_ends_when_revoked(site: Site) -> None:
    alice = site.person("alice")
    made = site.post("/v1/api-keys", alice, json={"name": "ci", "scopes": ["wallets:read"], "expires_at": "2999-01-01T00:00:00Z"})
    assert made.status_code == 201
    weak = Person(alice.user, made.json["secret"])
    assert site.get("/v1/me", weak).json["scopes"] == ["wallets:read"]
    assert made.json["secret"] not in site.get("/v1/api-keys", alice).get_data(as_text=True)
    for body in (
        {"name": "x", "scopes": ["ops:admin"]},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["wallets:read"], "expires_at": "2999-01-01T00:00:00"},
        {"name": "x", "scopes": ["wallets:read"], "expires_at": "9999-12-31T23:59:59-14:00"},
    ):
        assert site.post("/v1/api-keys", alice, json=body).status_code == 422
    assert site.call("DELETE", f"/v1/api-keys/{made.json['id']}", alice).json["revoked_at"]
    assert site.get("/v1/me", weak).status_code == 401


def test_events_are_pulled_in_order_and_only_ones_own(site: Site) -> None:
    alice, bob = site.person("alice"), site.person("bob")
    for person in (alice, bob, alice):
        site.wallet_of(person)
    site.bench.custody.seal()
    first = site.get("/v1/events?limit=1", alice).json
    assert [each["type"] for each in first["data"]] == ["wallet.created"]
    assert first["has_more"]
    rest = site.get(f"/v1/events?after={first['next_after']}", alice).json
    assert [each["data"]["owner"] for each in rest["data"]] == [alice.user.id]
    assert not rest["has_more"]
    assert site.get(f"/v1/events?after={rest['next_after']}", alice).json["data"] == []
    assert site.get(f"/v1/events?after={first['next_after']}", bob).status_code == 404
    assert site.get("/v1/events?after=evt_x", bob).status_code == 404


def test_the_audit_trail_is_walked_newest_first(site: Site) -> None:
    auditor = site.person("auditor", Role.AUDITOR)
    site.bench.custody.seal()
    sequences: list[int] = []
    cursor = ""
    while True:
        answer = site.get(f"/v1/audit-events?limit=3{cursor}", auditor).json
        sequences += [each["sequence"] for each in answer["data"]]
        if not answer["has_more"]:
            break
        cursor = f"&cursor={answer['next_cursor']}"
    assert sequences == list(range(len(sequences), 0, -1))
    assert len(sequences) > 3


# Headers and hosts


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/livez", 200),
        ("GET", "/v1/me", 401),
        ("GET", "/nothing", 404),
        ("DELETE", "/v1/me", 405),
        ("TRACE", "/v1/me", 405),
        ("OPTIONS", "/v1/me", 405),
        ("GET", "/v1/me/", 404),
        ("GET", "//v1/me", 404),
        ("GET", "/metrics", 200),
    ],
)
def test_every_answer_has_the_headers_that_protect_it(site: Site, method: str, path: str, status: int) -> None:
    answer = site.call(method, path)
    assert answer.status_code == status
    assert {name: answer.headers.get(name) for name in HEADERS} == dict(HEADERS)
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Set-Cookie" not in answer.headers
    if status == 405:
        assert answer.headers["Allow"] == "GET, HEAD"


def status_of(site: Site, environ: dict[str, Any]) -> int:
    """The answer to a request as a server hands it on: a test client would put a target of its own into it."""
    _, status, _ = run_wsgi_app(site.app, environ)
    return int(status.split()[0])


@pytest.mark.parametrize("target", ["//livez", "//metrics", "/v1%2fme", "/v1%2Fme", "//v1/me", "http://localhost//metrics"])
def test_nothing_is_answered_under_two_paths(site: Site, target: str) -> None:
    path = unquote(target.removeprefix("http://localhost"))
    assert status_of(site, EnvironBuilder(path="/").get_environ() | {"PATH_INFO": path, "RAW_URI": target}) == 404


def test_an_absolute_target_names_our_host_too() -> None:
    with open_site(public_url="https://custody.example") as site:
        environ = EnvironBuilder(path="/v1/me", base_url="https://custody.example").get_environ()
        for target, status in (
            ("/v1/me", 401),
            ("https://custody.example/v1/me", 401),
            ("https://CUSTODY.example:443/v1/me", 401),
            ("http://evil.example/v1/me", 400),
            ("http://custody.example@evil.example/v1/me", 400),
            ("http://[::1/v1/me", 400),
            ("http:///v1/me", 400),
        ):
            assert status_of(site, environ | {"RAW_URI": target}) == status, target


def test_a_filter_by_a_state_that_does_not_exist_is_refused(site: Site) -> None:
    alice = site.person("alice")
    refused = site.get("/v1/transactions?state=done", alice)
    assert (refused.status_code, refused.json["errors"][0]["pointer"]) == (422, "/state")
    for state in ("queued", "quarantined", "completed"):
        assert site.get(f"/v1/transactions?state={state}", alice).json["data"] == []


def test_a_wallet_is_found_by_its_external_id(site: Site) -> None:
    alice, bob, operator = site.person("alice"), site.person("bob"), site.person("op", Role.OPERATOR)
    ours = {person.user.id: site.post("/v1/wallets", person, json={"external_id": "main"}).json["id"] for person in (alice, bob)}
    site.wallet_of(alice)
    assert [each["id"] for each in site.get("/v1/wallets?external_id=main", alice).json["data"]] == [ours[alice.user.id]]
    assert site.get("/v1/wallets?external_id=other", alice).json["data"] == []
    assert {each["id"] for each in site.get("/v1/wallets?external_id=main", operator).json["data"]} == set(ours.values())


def test_a_request_id_is_repeated_when_it_is_harmless(site: Site) -> None:
    assert site.get("/livez", headers={"X-Request-Id": "abc-1.2_3"}).headers["X-Request-Id"] == "abc-1.2_3"
    for given in ("a b", "x" * 65, "<script>", "é", "", "ck_" + "a" * 43, "x-ck_" + "a" * 43):
        made = site.get("/v1/me", headers={"X-Request-Id": given})
        assert made.headers["X-Request-Id"].startswith("req_")
        assert made.json["request_id"] == made.headers["X-Request-Id"]
    assert site.lines[-1]["request_id"].startswith("req_")


@pytest.mark.parametrize(
    ("public_url", "host", "known"),
    [
        ("https://custody.example", "custody.example", True),
        ("https://custody.example", "CUSTODY.example:443", True),
        ("https://custody.example", "custody.example:8443", False),
        ("https://custody.example", "evil.example", False),
        ("https://custody.example", "custody.example.evil.example", False),
        ("http://127.0.0.1:8000", "127.0.0.1:8000", True),
        ("http://127.0.0.1:8000", "127.0.0.1", False),
        ("http://[::1]:8000", "[::1]:8000", True),
    ],
)
def test_another_host_is_refused_where_ours_is_known(public_url: str, host: str, known: bool) -> None:
    """A-13."""
    with open_site(public_url=public_url) as site:
        answer = site.get(
            "/v1/me", headers={"Host": host, "X-Forwarded-Host": "custody.example", "Forwarded": "host=custody.example"}
        )
        assert answer.status_code == (401 if known else 400)
        assert site.get("/livez", headers={"Host": host}).status_code == 200


# Health and metrics


def checks(answer: Any) -> dict[str, bool]:
    return {each["name"]: each["ok"] for each in answer.json["checks"]}


def fresh(site: Site, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("custody_http.health.FRESH_S", -1)
    return site.get("/readyz")


def test_ready_is_when_all_is_well(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = fresh(site, monkeypatch)
    assert (answer.status_code, set(checks(answer).values())) == (200, {True})


def test_a_node_that_does_not_answer_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for method in ("synced_head", "header"):
        site.bench.chain.fail_next(method, 1)
    answer = fresh(site, monkeypatch)
    assert (answer.status_code, checks(answer)["node of eip155:31337"]) == (503, False)
    assert fresh(site, monkeypatch).status_code == 200


def test_r_15_a_node_that_is_still_syncing_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.bench.chain.sync()
    answer = fresh(site, monkeypatch)
    assert (answer.status_code, checks(answer)["node of eip155:31337"]) == (503, False)
    assert any("still syncing" in each["detail"] for each in answer.json["checks"])
    site.bench.chain.sync(syncing=False)
    assert fresh(site, monkeypatch).status_code == 200


def test_a_scanner_that_is_gone_or_behind_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.bench.chain.mine(LAG_BLOCKS_MAX + 1)
    assert checks(fresh(site, monkeypatch))["scanner of eip155:31337"] is False
    site.bench.rounds()
    assert fresh(site, monkeypatch).status_code == 200
    site.bench.clock.advance(60)
    answer = fresh(site, monkeypatch)
    assert (answer.status_code, checks(answer)["scanner of eip155:31337"]) == (503, False)


def test_a_halted_chain_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.bench.blocks(8)
    site.bench.chain.reorg(8)
    site.bench.chain.mine(9)
    site.bench.rounds()
    answer = fresh(site, monkeypatch)
    assert (answer.status_code, checks(answer)["chain eip155:31337"]) == (503, False)


def test_a_database_that_is_of_another_version_or_broken_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def older() -> None:
        raise DatabaseUnavailable("the database was prepared by an older version; run `custody db upgrade`")

    def broken() -> None:
        raise RuntimeError("password=hunter2")

    for check in (older, broken):
        with open_site(database_check=check) as site:
            answer = fresh(site, monkeypatch)
            assert (answer.status_code, checks(answer)) == (503, {"database": False})
            assert "hunter2" not in answer.get_data(as_text=True)
            assert site.get("/livez").status_code == 200


def test_readiness_is_looked_at_no_more_than_once_a_second(site: Site) -> None:
    assert site.get("/readyz").status_code == 200
    site.bench.chain.sync()
    assert site.get("/readyz").status_code == 200


def test_metrics_count_routes_and_show_the_books(site: Site) -> None:
    alice = site.person("alice")
    wallet = site.wallet_of(alice)
    for _ in range(3):
        site.get(f"/v1/wallets/{wallet}", alice)
    site.get("/v1/made-up-by-a-client")
    text = site.get("/metrics").get_data(as_text=True)
    assert 'custody_http_requests_total{route="GET /wallets/<wallet_id>",status="200"} 3.0' in text
    assert 'custody_http_requests_total{route="unmatched",status="404"} 1.0' in text
    assert "custody_database_up 1.0" in text
    assert "custody_wallets_ready 2.0" in text
    assert 'custody_chain_halted{chain="eip155:31337"} 0.0' in text
    assert 'custody_chain_logs_misshapen_total{chain="eip155:31337"} 0.0' in text
    assert "made-up" not in text
    assert wallet not in text


def test_openapi_names_every_route_and_every_schema_that_it_refers_to(site: Site) -> None:
    document = site.get("/v1/openapi.json").json
    text = json.dumps(document)
    for reference in set(json.loads(json.dumps([part.split('"')[0] for part in text.split('"$ref": "#/components/schemas/')[1:]]))):
        assert reference in document["components"]["schemas"]
    operations = [each for path in document["paths"].values() for each in path.values()]
    assert len({each["operationId"] for each in operations}) == len(operations)
    assert document["openapi"].startswith("3.1")
    body = document["components"]["schemas"]["NewTransaction"]
    assert body["additionalProperties"] is False
    assert set(body["required"]) == {"wallet_id", "to"}, "a transfer has an amount besides, a contract call data"


def test_chains_say_what_they_are_called_and_how_far_they_are_followed(site: Site) -> None:
    (chain,) = site.get("/v1/chains", site.person("alice")).json["data"]
    assert (chain["id"], chain["name"], chain["lag_blocks"], chain["halted"]) == ("eip155:31337", "local", 0, False)
    assert chain["head"] == chain["followed"]["number"] >= chain["final"]["number"]


def test_blocks_are_read_again_for_those_who_run_the_service(site: Site) -> None:
    alice, admin, operator = site.person("alice"), site.person("adm", Role.ADMIN), site.person("op", Role.OPERATOR)
    wallet = site.bench.custody.wallets.get(site.wallet_of(alice))
    contract = site.bench.chain.deploy_token()
    sent = site.bench.chain.send_token(contract, wallet.address, 5)
    site.bench.blocks(6)
    site.post("/v1/tokens", admin, json={"address": contract, "alias": "usdc", "decimals": 6, "dust": "6"})
    assert site.post("/v1/scans", alice, json={"hash": sent}).status_code == 403
    found = site.post("/v1/scans", operator, json={"hash": sent})
    assert (found.status_code, found.json["blocks"], found.json["outflows"]) == (200, 1, 0)
    (deposit,) = found.json["deposits"]
    assert deposit == {"id": deposit["id"], "wallet_id": wallet.id, "state": "quarantined"}
    assert site.post("/v1/scans", operator, json={"from": 1, "to": 3}).json["deposits"] == []
    released = site.post(f"/v1/transactions/{deposit['id']}/release", operator, json={"note": "theirs"})
    assert (released.status_code, released.json["state"]) == (200, "completed")
    again = site.post(f"/v1/transactions/{deposit['id']}/release", operator, json={"note": "x"})
    assert again.json["code"] == "invalid-state-transition"
    assert site.post(f"/v1/transactions/{deposit['id']}/release", alice, json={"note": "x"}).status_code == 403


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({}, 422, "/from"),
        ({"from": 1, "hash": "0x" + "ab" * 32}, 422, "/hash"),
        ({"from": 1, "to": 501}, 422, "/to"),
        ({"from": -1}, 422, "/from"),
        ({"from": "1"}, 422, "/from"),
        ({"from": 3, "to": 2}, 422, "/from"),
        ({"hash": "0x12"}, 422, "/hash"),
        ({"hash": "0x" + "ab" * 32}, 404, "/hash"),
        ({"from": 1, "to": 400}, 404, "/to"),
        ({"from": 1, "chain": "eip155:5"}, 404, "/chain"),
    ],
)
def test_what_cannot_be_read_again_is_refused_by_its_field(site: Site, body: dict[str, Any], status: int, pointer: str) -> None:
    site.bench.blocks(3)
    refused = site.post("/v1/scans", site.person("adm", Role.ADMIN), json=body)
    assert (refused.status_code, refused.json["errors"][0]["pointer"]) == (status, pointer)


def test_a_tokens_threshold_is_changed_and_shown(site: Site) -> None:
    admin = site.person("adm", Role.ADMIN)
    token = {"address": site.bench.chain.deploy_token(), "alias": "tkn", "decimals": 6}
    made = site.post("/v1/tokens", admin, json=token).json
    path = f"/v1/tokens/{made['id']}"
    assert made["dust"] == "0"
    assert site.call("PATCH", path, admin, json={"dust": "7"}).json["dust"] == "7"
    both = site.call("PATCH", path, admin, json={"dust": "8", "state": "disabled"}).json
    assert (both["dust"], both["state"]) == ("8", "disabled")
    assert site.call("PATCH", path, admin, json={"state": "listed"}).json["dust"] == "8"
    for bad in ({}, {"dust": "-1"}, {"dust": 7}, {"dust": "1.5"}):
        assert site.call("PATCH", path, admin, json=bad).status_code == 422
