"""Listing tokens: an operator says which contracts count, and what was said stands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from custody_core import CustodyError, InvalidAddress, NodeUnavailable, NotFound, ValidationFailed
from custody_core.domain.tokens import TokenState
from custody_memory.chain import MemoryChain
from tests.support import factories
from tests.unit.core.services.bench import Bench, opened

ONE, OTHER = [chain.deploy_token() for chain in [MemoryChain()] for _ in range(2)]


@pytest.fixture
def bench() -> Iterator[Bench]:
    with opened() as made:
        assert [made.chain.deploy_token() for _ in range(2)] == [ONE, OTHER]
        yield made


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
        ({"address": "0x" + "ff" * 19 + "fe"}, InvalidAddress, "/address"),
        ({"dust": -1}, ValidationFailed, "/dust"),
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


def test_an_address_without_a_token_is_refused(bench: Bench) -> None:
    for address in (factories.address(0xE0A), bench.chain.deploy_reverting()):
        with pytest.raises(ValidationFailed) as refusal:
            listed(bench, address=address)
        assert refusal.value.pointer == "/address"
    assert bench.custody.tokens.list() == []


@pytest.mark.parametrize("method", ["header", "try_call"])
def test_nothing_is_listed_while_the_node_does_not_say_what_it_is(bench: Bench, method: str) -> None:
    bench.chain.fail_next(method)
    with pytest.raises(NodeUnavailable):
        listed(bench)
    token = listed(bench)
    bench.chain.fail_next(method)
    assert listed(bench) == token, "what is known needs no node"


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
