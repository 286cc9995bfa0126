"""Payouts over HTTP: one request, a result for each item."""

from __future__ import annotations

from typing import Any

from custody_core import ether
from tests.unit.core.services.bench import FRIEND
from tests.unit.http.site import Person, Site


def batch(site: Site, person: Person, items: list[dict[str, Any]], *, key: str = "payday") -> Any:
    wallet = site.bench.wallet(person.user.id, wei=ether("1"), key="payer")
    headers = {"Idempotency-Key": key}
    return site.call("POST", "/v1/transactions/batch", person, json={"wallet_id": wallet.id, "items": items}, headers=headers)


def item(external_id: str, amount: str = "1", **changes: Any) -> dict[str, Any]:
    return {"to": FRIEND, "amount": amount, "external_id": external_id, **changes}


def test_each_item_has_the_answer_that_it_would_have_had_alone(site: Site) -> None:
    alice = site.person("alice")
    items = [item("a"), item("b", to="0x00"), item("c", str(ether("5"))), item("d", asset="nope")]
    answer = batch(site, alice, items)
    assert answer.status_code == 200
    assert [each["external_id"] for each in answer.json["data"]] == ["a", "b", "c", "d"]
    assert [each["status"] for each in answer.json["data"]] == [201, 422, 422, 422]
    made, *refused = answer.json["data"]
    assert (made["transaction"]["state"], made["transaction"]["external_id"], made["problem"]) == ("queued", "a", None)
    assert [each["problem"]["code"] for each in refused] == ["invalid-address", "insufficient-funds", "unsupported-asset"]
    assert refused[1]["problem"]["required"] != ""
    again = batch(site, alice, items)
    assert again.json["data"][0]["transaction"] == made["transaction"]
    assert "Idempotency-Replayed" not in again.headers, "what was refused was weighed again"


def test_a_batch_of_which_everything_was_accepted_is_replayed(site: Site) -> None:
    alice = site.person("alice")
    first, second = (batch(site, alice, [item("a"), item("b")]) for _ in range(2))
    assert second.json == first.json
    assert second.headers["Idempotency-Replayed"] == "true"
    other = batch(site, alice, [item("a"), item("b", "2")])
    assert (other.status_code, other.json["code"]) == (422, "idempotency-key-reused")


def test_a_batch_needs_a_key_and_between_one_and_five_hundred_items(site: Site) -> None:
    alice = site.person("alice")
    assert batch(site, alice, [item("a")], key="").json["code"] == "idempotency-key-missing"
    for items in ([], [item("a"), item("a")], [item(str(number)) for number in range(501)]):
        assert batch(site, alice, items).status_code == 422
    assert batch(site, alice, [{"to": FRIEND, "amount": "1"}]).json["errors"][0]["pointer"] == "/items/0/external_id"
