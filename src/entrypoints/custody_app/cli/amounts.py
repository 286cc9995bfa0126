"""Amounts as people type them: `0.05eth`, `10.5usdc`, or base units as bare digits."""

from __future__ import annotations

import re
from collections.abc import Callable

import attrs

from custody_core.domain.money import parse_base_units, parse_units, require_amount
from custody_core.domain.tokens import NATIVE_ALIAS
from custody_core.errors import InvalidAmount

_TYPED = re.compile(r"([0-9]{1,78}(?:\.[0-9]{1,78})?) ?(?!e[0-9])([a-z][a-z0-9.-]{0,31})", re.ASCII)
"""A number and an alias. `1e18` is nobody's token: whoever types it means a power of ten, which is not understood here."""


@attrs.frozen
class TypedAmount:
    """What was typed, taken apart. `alias` is None for base units."""

    number: str
    alias: str | None


def read_amount(text: str) -> TypedAmount:
    """Takes `text` apart. Raises `InvalidAmount`."""
    if text.isascii() and text.isdigit():
        return TypedAmount(text, None)
    match = _TYPED.fullmatch(text)
    if match is None:
        raise InvalidAmount(
            f"{text[:40]!r} is not an amount; write 0.05eth, 10.5usdc, or whole base units such as 50000000000000000",
            pointer="/amount",
        )
    return TypedAmount(match[1], match[2])


def base_units(typed: TypedAmount, *, asset: str | None, decimals_of: Callable[[str], int]) -> tuple[str, int]:
    """(alias, base units) of what was typed; `asset` is what `--asset` names, None where it was left out.

    Raises `InvalidAmount`, and what `decimals_of` raises for an alias that it does not know.
    """
    if typed.alias is None:
        return asset or NATIVE_ALIAS, parse_base_units(typed.number)
    if asset is not None and asset != typed.alias:
        raise InvalidAmount(f"the amount is in {typed.alias}, --asset says {asset}; give one of the two", pointer="/amount")
    return typed.alias, require_amount(parse_units(typed.number, decimals_of(typed.alias)))
