"""Listing tokens: an operator says which contracts count, and what was said stands."""

from __future__ import annotations

from typing import Any

import pytest

from custody_core import CustodyError, InvalidAddress, NotFound, ValidationFailed
from custody_core.domain.tokens import TokenState
from tests.support import factories
from tests.unit.core.services.bench import Bench

ONE, OTHER = factories.address(0xA1), factories.address(0xA2)


def listed(bench: Bench, **changes: Any) -> Any:
    filled: dict[str, Any] = {"chain_id": bench.chain.chain_id, "address": ONE, "alias": "usdc", "decimals": 6}
    return bench.custody.tokens.add(**(filled | changes))


def test_listing_the_same_contract_the_same_way_changes_nothing(bench: Bench) -> None:
    token = listed(bench, symbol="USDC", name="USD Coin")
    assert listed(bench, address=ONE.lower()) == token
    assert bench.custody.tokens.list() == [token]


@pytest.mark.parametrize(
    ("changed", "pointer"),
    [
        ({"decimals": 18}, "/address"),
        ({"alias": "usdt"}, "/address"),
        ({"address": OTHER}, "/alias"),
    ],
)
def test_what_was_registered_is_never_changed_by_listing_again(bench: Bench, changed: dict[str, Any], pointer: str) -> None:
    token = listed(bench)
    with pytest.raises(ValidationFailed) as refusal:
        listed(bench, **changed)
    assert refusal.value.pointer == pointer
    assert bench.custody.tokens.list() == [token]


@pytest.mark.parametrize(
    ("changed", "error", "pointer"),
    [
        ({"alias": "eth"}, ValidationFailed, "/alias"),
        ({"decimals": 78}, ValidationFailed, "/decimals"),
        ({"address": "0x00"}, InvalidAddress, "/address"),
        ({"address": "0x" + "00" * 20}, InvalidAddress, "/address"),
        ({"address": "0x" + "00" * 19 + "04"}, InvalidAddress, "/address"),
        ({"chain_id": 999}, NotFound, "/chain"),
        ({"symbol": "\u202eCDSU"}, ValidationFailed, "/symbol"),
        ({"name": "x" * 65}, ValidationFailed, "/name"),
    ],
)
def test_bad_input_lists_nothing(bench: Bench, changed: dict[str, Any], error: type[CustodyError], pointer: str) -> None:
    with pytest.raises(error) as refusal:
        listed(bench, **changed)
    assert refusal.value.pointer == pointer
    assert bench.custody.tokens.list() == []


def test_disabling_is_told_once_and_undone_by_listing_again(bench: Bench) -> None:
    token = listed(bench)
    disabled = bench.custody.tokens.disable(token.id)
    assert disabled.state is TokenState.DISABLED
    assert bench.custody.tokens.disable(token.id) == disabled
    assert listed(bench).state is TokenState.LISTED
    bench.custody.seal()
    told = [each.action for each in bench.custody.audit.list(limit=200) if each.object_id == token.id]
    assert told == ["token.listed", "token.disabled", "token.listed"]
    with pytest.raises(NotFound):
        bench.custody.tokens.disable("tok_nothing")
