"""Amounts.

Rules of this file

1. An amount is an `int` of base units (wei for ether) in 0 … 2^256-1. There is no float and no Decimal anywhere, not even on the
   way.
2. Text from machines is base units only: `^(0|[1-9][0-9]{0,77})$` in ASCII digits. Text from people ("10.5") is turned into base
   units by `parse_units`, exactly or not at all.
3. A bool is not an amount, although Python thinks it is an int.
"""

from __future__ import annotations

import re

from custody_core.errors import InvalidAmount

UINT256_MAX = 2**256 - 1
"""The largest amount an EVM word holds."""

ETHER_DECIMALS = 18
"""One ether is 10^18 wei."""

_BASE_UNITS = re.compile(r"0|[1-9][0-9]{0,77}", re.ASCII)
_PEOPLE_UNITS = re.compile(r"([0-9]{1,78})(?:\.([0-9]{1,78}))?", re.ASCII)


def require_amount(value: object, *, pointer: str = "/amount", minimum: int = 1) -> int:
    """`value` as an amount of at least `minimum` base units.

    Raises `TypeError` for what is not an int (a float above all), `InvalidAmount` for an int outside the range.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(
            f"an amount is an int of base units, not {type(value).__name__}; ether('0.05') turns people's text into base units"
        )
    if not minimum <= value <= UINT256_MAX:
        raise InvalidAmount(f"an amount here lies between {minimum} and 2^256-1 base units", pointer=pointer)
    return value


def parse_base_units(text: object, *, pointer: str = "/amount", minimum: int = 1) -> int:
    """The amount that a machine wrote as a plain decimal string of base units. Raises `InvalidAmount`."""
    if not isinstance(text, str) or _BASE_UNITS.fullmatch(text) is None:
        raise InvalidAmount(
            'an amount is a string of decimal digits in base units, such as "50000000000000000" for 0.05 ether', pointer=pointer
        )
    return require_amount(int(text), pointer=pointer, minimum=minimum)


def parse_units(text: str, decimals: int) -> int:
    """The base units of what a person wrote, such as `10.5` with 6 decimals → 10500000.

    Exact: more fractional digits than the asset has are refused, never rounded. Raises `InvalidAmount`; `TypeError` for what is
    not text.
    """
    if not isinstance(text, str):
        raise TypeError(f"write the amount as text, such as '0.05', not as {type(text).__name__}")
    match = _PEOPLE_UNITS.fullmatch(text)
    if match is None:
        raise InvalidAmount(f"{text[:40]!r} is not an amount; write digits with at most one point, such as 0.05", pointer="/amount")
    whole, fraction = match[1], match[2] or ""
    if len(fraction.rstrip("0")) > decimals:
        raise InvalidAmount(f"this asset has {decimals} decimals, {text[:40]!r} has more", pointer="/amount")
    units = int(whole) * 10**decimals + int((fraction.rstrip("0")).ljust(decimals, "0") or "0")
    return require_amount(units, minimum=0)


def ether(text: str) -> int:
    """Wei of what a person wrote in ether: `ether("0.05")` is 50000000000000000."""
    return parse_units(text, ETHER_DECIMALS)


def format_units(amount: int, decimals: int) -> str:
    """The shortest exact decimal text of `amount`: 50000000000000000 with 18 decimals is `0.05`. Negative amounts keep their
    sign.
    """
    sign, digits = ("-", str(-amount)) if amount < 0 else ("", str(amount))
    if decimals == 0:
        return sign + digits
    digits = digits.rjust(decimals + 1, "0")
    whole, fraction = digits[:-decimals], digits[-decimals:].rstrip("0")
    return sign + whole + ("." + fraction if fraction else "")
