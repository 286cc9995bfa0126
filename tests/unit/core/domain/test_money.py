"""Amounts: what passes, what does not, and that nothing is lost between text and base units."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from custody_core.domain.money import UINT256_MAX, ether, format_units, parse_base_units, parse_units, require_amount
from custody_core.errors import InvalidAmount

AMOUNTS = st.integers(0, UINT256_MAX)
DECIMALS = st.integers(0, 77)

REFUSED_TEXTS = [
    "1.0",
    "",
    "-1",
    "+1",
    "0x10",
    "1e18",
    "NaN",
    "Infinity",
    "0",
    "01",
    "00",
    " 1",
    "1 ",
    "1\n",
    "1_000",
    "1,000",
    "\uff11",  # FULLWIDTH DIGIT ONE: a digit to Python's int, not to us
    "\u0661",  # ARABIC-INDIC DIGIT ONE
    "\u00b2",  # SUPERSCRIPT TWO
    str(UINT256_MAX + 1),
    "9" * 78,
    "1" + "0" * 78,
    "9" * 5000,  # longer than Python is willing to read as an int
]


@pytest.mark.parametrize("text", REFUSED_TEXTS)
def test_s22_only_a_plain_decimal_string_of_base_units_passes(text: str) -> None:
    with pytest.raises(InvalidAmount) as refusal:
        parse_base_units(text)
    assert refusal.value.pointer == "/amount"


@pytest.mark.parametrize("value", [1.5, 1, True, None, 10**18, b"1", ["1"], {"amount": "1"}, Decimal(1)])
def test_s22_what_is_not_text_does_not_pass(value: object) -> None:
    with pytest.raises(InvalidAmount):
        parse_base_units(value)


@pytest.mark.parametrize("value", [1.5, 1.0, float("nan"), True, False, None, "1", Decimal(1), Fraction(1)])
def test_an_amount_inside_is_an_int_and_a_bool_is_none(value: object) -> None:
    with pytest.raises(TypeError):
        require_amount(value)


@pytest.mark.parametrize("value", [0, -1, UINT256_MAX + 1, -UINT256_MAX])
def test_an_amount_lies_between_one_and_what_a_word_holds(value: int) -> None:
    with pytest.raises(InvalidAmount):
        require_amount(value)


@given(st.integers(1, UINT256_MAX))
@example(1)
@example(UINT256_MAX)
def test_base_units_are_read_as_they_were_written(amount: int) -> None:
    assert parse_base_units(str(amount)) == amount


@given(AMOUNTS, DECIMALS)
@example(UINT256_MAX, 0)
@example(UINT256_MAX, 77)
@example(0, 18)
def test_what_is_shown_reads_back_exactly(amount: int, decimals: int) -> None:
    assert parse_units(format_units(amount, decimals), decimals) == amount


@given(AMOUNTS, DECIMALS)
def test_what_is_shown_is_the_exact_value_in_its_shortest_form(amount: int, decimals: int) -> None:
    shown = format_units(amount, decimals)
    assert Fraction(shown) == Fraction(amount, 10**decimals)
    assert not ("." in shown and shown.endswith(("0", ".")))
    assert shown == "0" or shown.startswith("0.") or not shown.startswith("0")
    assert format_units(-amount, decimals) == (f"-{shown}" if amount else shown)


@given(st.from_regex(r"[0-9]{1,40}(\.[0-9]{1,40})?", fullmatch=True, alphabet="0123456789."), DECIMALS)
@example("0.0000000000000000001", 18)
@example("1.000000000000000000000", 18)
@example("007.50", 1)
def test_peoples_text_is_taken_exactly_or_not_at_all(text: str, decimals: int) -> None:
    exact = Fraction(text) * 10**decimals
    if exact.denominator == 1 and exact <= UINT256_MAX:
        assert parse_units(text, decimals) == exact
    else:
        with pytest.raises(InvalidAmount):
            parse_units(text, decimals)


@pytest.mark.parametrize(
    "text", ["", ".", ".5", "5.", "1.2.3", "-1", "+1", "1e3", "1,5", " 1", "1\n", "0x1", "\uff11", "NaN", "inf"]
)
def test_peoples_text_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidAmount):
        parse_units(text, 18)


@pytest.mark.parametrize("value", [0.05, 1, None, b"1", Decimal("0.05")])
def test_ether_takes_text_only(value: object) -> None:
    with pytest.raises(TypeError):
        ether(value)  # type: ignore[arg-type]


def test_ether_is_eighteen_decimals() -> None:
    assert ether("0.05") == 50_000_000_000_000_000
    assert ether("1") == 10**18


def test_a_refusal_quotes_no_more_than_a_glimpse_of_the_text() -> None:
    with pytest.raises(InvalidAmount) as refusal:
        parse_units("x" * 10_000, 18)
    assert len(refusal.value.detail) < 200
