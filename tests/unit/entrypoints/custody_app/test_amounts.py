"""Amounts as people type them become base units exactly, or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody_app.cli.amounts import base_units, read_amount
from custody_core import InvalidAmount, format_units
from custody_core.domain.money import UINT256_MAX

DECIMALS = {"eth": 18, "usdc": 6, "usdc.e": 6}


def units(text: str, asset: str | None = None) -> tuple[str, int]:
    return base_units(read_amount(text), asset=asset, decimals_of=DECIMALS.__getitem__)


@pytest.mark.parametrize(
    ("text", "asset", "expected"),
    [
        ("0.05eth", None, ("eth", 5 * 10**16)),
        ("0.05 eth", None, ("eth", 5 * 10**16)),
        ("10.5usdc", None, ("usdc", 10_500_000)),
        ("10.5usdc", "usdc", ("usdc", 10_500_000)),
        ("1usdc.e", None, ("usdc.e", 1_000_000)),
        ("50000000000000000", None, ("eth", 5 * 10**16)),
        ("10500000", "usdc", ("usdc", 10_500_000)),
        ("0.000000000000000001eth", None, ("eth", 1)),
    ],
)
def test_what_is_understood(text: str, asset: str | None, expected: tuple[str, int]) -> None:
    assert units(text, asset) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "eth", "1.5", ".5eth", "1.eth", "1,5eth", "-1eth", "+1eth", "0eth", "0", "007", "1e18", "1e18eth"),
        *("NaN", "1 000", "1ETH", "1  eth", "1eth ", "\u0661eth", "\uff11eth", "0.0000001usdc", "1" * 79 + "eth", "1" * 79),
    ],
)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(InvalidAmount):
        units(text)


def test_two_units_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(InvalidAmount, match="in usdc, --asset says eth"):
        units("1usdc", "eth")


@given(amount=st.integers(1, UINT256_MAX), alias=st.sampled_from(sorted(DECIMALS)))
def test_what_is_shown_can_be_typed(amount: int, alias: str) -> None:
    assert units(f"{format_units(amount, DECIMALS[alias])}{alias}") == (alias, amount)
