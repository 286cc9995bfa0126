"""A cursor works for the list and the user that it was made for, as it was made, and not otherwise (A-18)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody_core import ether
from custody_core.errors import InvalidCursor
from custody_http.cursors import Cursors
from tests.unit.http.site import Site

BINDING = {"route": "GET /wallets", "user": "usr_1", "filters": {}}
CURSORS = Cursors(b"k" * 32)


@given(st.text(alphabet="abcdefghij_0123456789", max_size=40))
def test_what_was_made_is_read(position: str) -> None:
    assert CURSORS.read(CURSORS.make(position, binding=BINDING), binding=BINDING) == position


@given(st.integers(min_value=0), st.characters(codec="ascii"))
def test_no_character_can_be_another(place: int, character: str) -> None:
    cursor = CURSORS.make("wal_1", binding=BINDING)
    place %= len(cursor)
    edited = cursor[:place] + character + cursor[place + 1 :]
    if edited != cursor:
        with pytest.raises(InvalidCursor):
            CURSORS.read(edited, binding=BINDING)


@pytest.mark.parametrize("changed", [{"route": "GET /transactions"}, {"user": "usr_2"}, {"filters": {"state": "queued"}}])
def test_it_works_for_one_list_of_one_user(changed: dict[str, object]) -> None:
    with pytest.raises(InvalidCursor):
        CURSORS.read(CURSORS.make("wal_1", binding=BINDING), binding={**BINDING, **changed})


@pytest.mark.parametrize("cursor", ["", "x", "é", "A" * 500, "=", "wal_1", "AAAAAAAAAAAAAAAAAAAAAAAAAAAA"])
def test_what_nobody_made_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        CURSORS.read(cursor, binding=BINDING)


def test_another_key_made_another_cursor() -> None:
    with pytest.raises(InvalidCursor):
        Cursors(b"j" * 32).read(CURSORS.make("wal_1", binding=BINDING), binding=BINDING)


def test_a_list_is_walked_once_through_newest_first(site: Site) -> None:
    alice, bob = site.person("alice"), site.person("bob")
    made = [site.wallet_of(alice) for _ in range(5)]
    site.wallet_of(bob)
    seen: list[str] = []
    path = "/v1/wallets?limit=2"
    while path:
        answer = site.get(path, alice).json
        assert answer is not None
        seen += [each["id"] for each in answer["data"]]
        assert answer["has_more"] is (answer["next_cursor"] is not None)
        path = f"/v1/wallets?limit=2&cursor={answer['next_cursor']}" if answer["has_more"] else ""
    assert seen == sorted(made, reverse=True)


def test_a_cursor_of_somebody_else_or_of_another_list_is_refused(site: Site) -> None:
    alice, bob = site.person("alice"), site.person("bob")
    for person in (alice, bob):
        wallet = site.bench.wallet(person.user.id, wei=ether("5"))
        for _ in range(2):
            site.wallet_of(person)
            site.bench.send(wallet)
    cursor = site.get("/v1/wallets?limit=1", alice).json["next_cursor"]
    assert site.get(f"/v1/wallets?limit=1&cursor={cursor}", alice).status_code == 200
    for person, path in (
        (bob, f"/v1/wallets?limit=1&cursor={cursor}"),
        (alice, f"/v1/transactions?limit=1&cursor={cursor}"),
        (alice, f"/v1/wallets?limit=1&cursor={cursor[:-1]}"),
        (alice, f"/v1/wallets?limit=1&cursor={cursor[:-1]}{'B' if cursor[-1] == 'A' else 'A'}"),
        (alice, "/v1/wallets?cursor="),
    ):
        refused = site.get(path, person)
        assert (refused.status_code, refused.json["code"]) == (400, "invalid-cursor")
    filtered = site.get("/v1/transactions?limit=1&state=queued", alice).json["next_cursor"]
    assert site.get(f"/v1/transactions?limit=1&state=completed&cursor={filtered}", alice).status_code == 400
