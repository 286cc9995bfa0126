"""Contract calls over HTTP: the body's shape, what is refused with a pointer, and what is shown."""

from __future__ import annotations

from typing import Any

import pytest

from custody_core import ether
from tests.support import factories
from tests.unit.core.services.bench import FRIEND
from tests.unit.http.site import Person, Site

VAULT = factories.address(0xC001)
DATA = "0xabcdef01" + "00" * 32
"""A call of a method that has one argument."""

ENTRY = {"address": VAULT, "storageKeys": ["0x" + "00" * 32]}
NAMED = {
    "version": 1,
    "rules": [
        {"id": "transfers", "when": {"type": "transfer"}, "then": {"allow": True}},
        {"id": "withdrawals", "when": {"call": {"to": VAULT, "method": "withdraw(uint256)"}}, "then": {"allow": True}},
    ],
}
WITHDRAW = "0x2e1a7d4d" + "00" * 31 + "05"


def ask(site: Site, person: Person, wallet: str, path: str = "/v1/transactions", **changes: Any) -> Any:
    body = {"wallet_id": wallet, "type": "contract_call", "to": VAULT, "data": WITHDRAW, **changes}
    return site.post(path, person, json={name: value for name, value in body.items() if value is not ...})


@pytest.fixture
def alice(site: Site) -> Person:
    site.bench.custody.policies.publish(NAMED)
    return site.person("alice")


def test_a_call_is_accepted_shown_and_replayed(site: Site, alice: Person) -> None:
    wallet = site.wallet_of(alice, wei=ether("1"))
    previewed = ask(site, alice, wallet, "/v1/transactions/preview", value="7", access_list=[ENTRY])
    assert previewed.status_code == 200
    assert (previewed.json["type"], previewed.json["amount"], previewed.json["policy"]["decision"]) == (
        "contract_call",
        "7",
        "allow",
    )
    body = {"wallet_id": wallet, "type": "contract_call", "to": VAULT, "data": WITHDRAW, "value": "7", "access_list": [ENTRY]}
    first, again = (site.post("/v1/transactions", alice, json=body, headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert first.status_code == 201
    assert (first.json["type"], first.json["asset"], first.json["amount"]) == ("contract_call", "eth", "7")
    assert (first.json["data"], first.json["access_list"]) == (WITHDRAW, [ENTRY])
    assert again.data == first.data
    site.bench.settle()
    shown = site.get(first.headers["Location"], alice).json
    assert (shown["state"], shown["data"]) == ("completed", WITHDRAW)


def test_a_call_that_no_rule_names_is_denied(site: Site, alice: Person) -> None:
    wallet = site.wallet_of(alice, wei=ether("1"))
    denied = ask(site, alice, wallet, data=DATA)
    assert (denied.status_code, denied.json["code"], denied.json["rules"]) == (403, "policy-denied", ["no-rule-allows"])
    previewed = ask(site, alice, wallet, "/v1/transactions/preview", data=DATA)
    assert (previewed.status_code, previewed.json["policy"]["decision"]) == (200, "deny")


@pytest.mark.parametrize("path", ["/v1/transactions", "/v1/transactions/preview"])
@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        ({"type": "deployment"}, "validation-failed", "/type"),
        ({"data": ...}, "validation-failed", "/data"),
        ({"data": None}, "validation-failed", "/data"),
        ({"data": "0x"}, "validation-failed", "/data"),
        ({"data": "0x12345"}, "validation-failed", "/data"),
        ({"amount": "1"}, "validation-failed", "/amount"),
        ({"asset": "usdc"}, "validation-failed", "/asset"),
        ({"value": 5}, "validation-failed", "/value"),
        ({"value": "0x5"}, "invalid-amount", "/value"),
        ({"value": "0.5"}, "invalid-amount", "/value"),
        ({"to": "0x" + "0" * 40}, "invalid-address", "/to"),
        ({"type": "transfer", "amount": "1"}, "validation-failed", "/data"),
        ({"type": "transfer", "data": ...}, "validation-failed", "/amount"),
        ({"type": "transfer", "data": ..., "amount": "1", "value": "1"}, "validation-failed", "/value"),
        ({"access_list": [VAULT]}, "validation-failed", "/access_list/0"),
        ({"access_list": [{"address": VAULT}]}, "validation-failed", "/access_list/0/storageKeys"),
        ({"access_list": [{**ENTRY, "more": 1}]}, "validation-failed", "/access_list/0/more"),
        ({"access_list": [{**ENTRY, "storageKeys": ["0x1"]}]}, "validation-failed", "/access_list/0/storageKeys/0"),
        ({"access_list": [{**ENTRY, "address": VAULT[:-1]}]}, "invalid-address", "/access_list/0/address"),
        ({"access_list": [{**ENTRY, "storageKeys": []}] * 101}, "validation-failed", "/access_list"),
    ],
    ids=lambda given: next(iter(given)) if isinstance(given, dict) else None,
)
def test_what_is_wrong_with_a_call_is_pointed_at(
    site: Site, alice: Person, path: str, changes: dict[str, Any], code: str, pointer: str
) -> None:
    wallet = site.wallet_of(alice, wei=ether("1"))
    refused = ask(site, alice, wallet, path, **changes)
    assert (refused.status_code, refused.json["code"]) == (422, code), refused.json
    assert [each["pointer"] for each in refused.json["errors"]] == [pointer]
    assert site.get("/v1/transactions?direction=outgoing", alice).json["data"] == []


def test_a_transfer_takes_an_access_list_too(site: Site, alice: Person) -> None:
    wallet = site.wallet_of(alice, wei=ether("1"))
    sent = ask(site, alice, wallet, type="transfer", data=..., amount="5", to=FRIEND, access_list=[ENTRY])
    assert (sent.status_code, sent.json["access_list"], sent.json["data"]) == (201, [ENTRY], None)


def test_the_document_describes_calls(site: Site) -> None:
    schemas = site.get("/v1/openapi.json").json["components"]["schemas"]
    properties = schemas["NewTransaction"]["properties"]
    assert properties["type"]["enum"] == ["contract_call", "transfer"]
    assert properties["access_list"]["items"] == {"$ref": "#/components/schemas/AccessListEntry"}
    assert set(schemas["AccessListEntry"]["required"]) == {"address", "storageKeys"}
    assert {"data", "value"} <= set(schemas["Transfer"]["properties"])
