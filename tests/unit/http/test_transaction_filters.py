"""`GET /transactions` narrowed down: filters are met all together, for both directions, and only among what the caller sees."""

from __future__ import annotations

from itertools import combinations
from typing import Any
from urllib.parse import urlencode

import pytest

from custody_core import Role, ether
from tests.unit.http.site import Person, Site

HOUR_S = 3600


def ids(site: Site, person: Person, **filters: str) -> list[str]:
    """The ids of the whole list, walked in pages of one."""
    asked, found = {"limit": "1", **{name.replace("created_since", "created_at[gte]"): text for name, text in filters.items()}}, []
    while True:
        answer: Any = site.get(f"/v1/transactions?{urlencode(asked)}", person).json
        found += [each["id"] for each in answer["data"]]
        if not answer["has_more"]:
            return found
        asked["cursor"] = answer["next_cursor"]


def history(site: Site) -> tuple[Person, Person, list[dict[str, Any]]]:
    """Alice and Bob, who each got ether and tokens and sent both, hours apart; all resources, newest first."""
    bench, people = site.bench, [site.person("alice"), site.person("bob")]
    token = bench.token()
    for round_ in range(2):
        for person in people:
            wallet = bench.wallet(person.user.id, wei=ether("1"), key="w")
            bench.pay_in_token(wallet, token, 5_000)
            bench.send(wallet, 1, external_id=f"order-{round_}")
            bench.send(wallet, 1, asset="usdc", external_id=f"tokens-{round_}")
            bench.settle()
        bench.clock.advance(HOUR_S)
    everything: Any = site.get("/v1/transactions?limit=200", site.person("root", Role.ADMIN)).json
    return (*people, everything["data"])


def test_filters_are_met_all_together_in_both_directions_and_only_among_ones_own(site: Site) -> None:
    alice, bob, everything = history(site)
    admin = site.person("root", Role.ADMIN)
    middle = everything[len(everything) // 2]["created_at"]
    filters = {"asset": "usdc", "external_id": "order-1", "created_since": middle, "direction": "outgoing", "state": "completed"}
    wallets_of = {person.user.id: {each["id"] for each in site.get("/v1/wallets", person).json["data"]} for person in (alice, bob)}
    assert {(each["direction"], each["asset"]) for each in everything} == {
        (direction, asset) for direction in ("incoming", "outgoing") for asset in ("eth", "usdc")
    }
    for person in (alice, bob, admin):
        seen = [each for each in everything if person is admin or each["wallet_id"] in wallets_of[person.user.id]]
        for size in range(4):
            for names in combinations(filters, size):
                chosen = {name: filters[name] for name in names}
                wanted = [
                    each["id"]
                    for each in seen
                    if all(
                        each["created_at"] >= text if name == "created_since" else each.get(name) == text
                        for name, text in chosen.items()
                    )
                ]
                assert ids(site, person, **chosen) == wanted, (person.user.subject, chosen)


def test_what_came_in_has_no_external_id_so_that_none_is_found_by_one(site: Site) -> None:
    alice, _, _ = history(site)
    (found,) = ids(site, alice, external_id="order-0")
    assert site.get(f"/v1/transactions/{found}", alice).json["direction"] == "outgoing"
    assert ids(site, alice, external_id="order-0", direction="incoming") == []


def test_a_cursor_belongs_to_the_filters_that_it_was_made_with(site: Site) -> None:
    alice, _, _ = history(site)
    first = site.get("/v1/transactions?limit=1&asset=eth", alice).json
    for other in ("", "&asset=usdc", "&asset=eth&external_id=order-1", "&asset=eth&created_at[gte]=2020-01-01T00:00:00Z"):
        refused = site.get(f"/v1/transactions?limit=1{other}&cursor={first['next_cursor']}", alice)
        assert (refused.status_code, refused.json["code"]) == (400, "invalid-cursor")


@pytest.mark.parametrize(
    "moment",
    [
        "yesterday",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "1700000000",
        "null",
        "",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_a_time_that_is_none_is_refused_by_its_name(site: Site, moment: str) -> None:
    refused = site.get(f"/v1/transactions?{urlencode({'created_at[gte]': moment})}", site.person("alice"))
    assert (refused.status_code, refused.json["code"]) == (422, "validation-failed")
    assert [error["pointer"] for error in refused.json["errors"]] == ["/created_at[gte]"]


def test_a_time_is_the_same_in_every_zone(site: Site) -> None:
    alice, _, everything = history(site)
    moment = everything[len(everything) // 2]["created_at"]
    assert moment.endswith("Z")
    in_utc = ids(site, alice, created_since=moment)
    assert in_utc
    assert ids(site, alice, created_since=moment.replace("Z", "+00:00")) == in_utc


def test_the_filters_are_in_the_description(site: Site) -> None:
    document = site.get("/v1/openapi.json").json
    listed = {each["name"]: each["schema"] for each in document["paths"]["/v1/transactions"]["get"]["parameters"]}
    assert {"wallet_id", "direction", "state", "asset", "external_id", "created_at[gte]"} <= listed.keys()
    assert "date-time" in str(listed["created_at[gte]"])
