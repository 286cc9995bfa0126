"""Assets and tokens: identity is chain and contract; names identify nothing."""

from __future__ import annotations

import pytest

from custody_core.domain.tokens import DECIMALS_MAX, Asset, native_asset, require_alias, require_decimals
from custody_core.errors import ValidationFailed
from tests.support import factories

CONTRACT = factories.address(7)


def test_ether_and_tokens_name_themselves_by_caip_19() -> None:
    ether = native_asset(1)
    assert (ether.key, ether.caip19, ether.is_native, ether.decimals) == ("eth", "eip155:1/slip44:60", True, 18)
    token = Asset(10, CONTRACT, "usdc", 6)
    assert (token.key, token.caip19, token.is_native) == (CONTRACT, f"eip155:10/erc20:{CONTRACT}", False)


def test_the_same_contract_on_another_chain_is_another_asset() -> None:
    assert Asset(1, CONTRACT, "usdc", 6).caip19 != Asset(10, CONTRACT, "usdc", 6).caip19


@pytest.mark.parametrize("alias", ["usdc", "a", "usdc.e", "bridged-usdc", "t0", "x" * 32])
def test_an_alias_is_a_short_plain_word(alias: str) -> None:
    assert require_alias(alias) == alias


@pytest.mark.parametrize("alias", ["eth", "", "USDC", "0x", "-a", ".a", "x" * 33, "us dc", "usdc\n", "usd\u0441", None, 5, b"usdc"])
def test_what_could_be_mistaken_is_no_alias(alias: object) -> None:
    with pytest.raises(ValidationFailed) as refusal:
        require_alias(alias)
    assert refusal.value.pointer == "/alias"


@pytest.mark.parametrize("decimals", [0, 6, 18, DECIMALS_MAX])
def test_decimals_that_a_word_can_hold(decimals: int) -> None:
    assert require_decimals(decimals) == decimals
    assert 10**decimals < 2**256


@pytest.mark.parametrize("decimals", [-1, DECIMALS_MAX + 1, 255, True, False, 6.0, "6", None])
def test_decimals_that_no_token_has_are_refused(decimals: object) -> None:
    with pytest.raises(ValidationFailed) as refusal:
        require_decimals(decimals)
    assert refusal.value.pointer == "/decimals"
