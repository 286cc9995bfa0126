"""Assets and listed tokens.

Rules of this file

1. A token is (chain, contract address). Its name and symbol are what somebody typed into a contract and identify nothing.
2. Decimals are registered when a token is listed and never re-read: a contract that changes them cannot change what was owed.
3. Only a listed token ever becomes a balance.
"""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum

import attrs

from custody_core.domain.addresses import Address
from custody_core.domain.money import ETHER_DECIMALS, UINT256_MAX
from custody_core.errors import ValidationFailed

NATIVE_ALIAS = "eth"
"""What the surface calls a chain's native asset."""

_ALIAS = re.compile(r"[a-z][a-z0-9.-]{0,31}", re.ASCII)

DECIMALS_MAX = 77
"""10^77 is the largest power of ten below 2^256."""


@attrs.frozen
class Asset:
    """What an amount is an amount of. `contract` is None for the chain's native asset."""

    chain_id: int
    contract: Address | None
    alias: str
    decimals: int

    @property
    def is_native(self) -> bool:
        """Whether this is the asset that pays for gas."""
        return self.contract is None

    @property
    def key(self) -> str:
        """The identity within its chain, as the books keep it: `eth`, or the contract's address."""
        return self.contract or NATIVE_ALIAS

    @property
    def caip19(self) -> str:
        """The CAIP-19 id (SLIP-44 coin type 60 for ether, the `erc20` namespace for tokens)."""
        reference = f"erc20:{self.contract}" if self.contract else "slip44:60"
        return f"eip155:{self.chain_id}/{reference}"


def native_asset(chain_id: int) -> Asset:
    """The native asset of a chain."""
    return Asset(chain_id=chain_id, contract=None, alias=NATIVE_ALIAS, decimals=ETHER_DECIMALS)


class TokenState(StrEnum):
    """`listed` tokens are credited and sent; a `disabled` one keeps its history and is quarantined when it arrives."""

    LISTED = "listed"
    DISABLED = "disabled"


@attrs.frozen
class Token:
    """A listed ERC-20 contract (EIP-20)."""

    id: str
    asset: Asset
    symbol: str
    name: str
    state: TokenState
    created_at: datetime
    dust: int = 0
    """Deposits below this, in base units, are quarantined."""
    version: int = 1


def require_alias(alias: object) -> str:
    """`alias` when it can name a token. Raises `ValidationFailed`."""
    if not isinstance(alias, str) or _ALIAS.fullmatch(alias) is None or alias == NATIVE_ALIAS:
        raise ValidationFailed(
            "an alias is 1 to 32 lower-case letters, digits, dots or dashes, begins with a letter and is not 'eth'",
            pointer="/alias",
        )
    return alias


def require_dust(dust: object) -> int:
    """`dust` when it can be a token's threshold, in base units. Raises `ValidationFailed`."""
    if isinstance(dust, bool) or not isinstance(dust, int) or not 0 <= dust <= UINT256_MAX:
        raise ValidationFailed("a dust threshold is a whole number of base units, 0 or more", pointer="/dust")
    return dust


def require_decimals(decimals: object) -> int:
    """`decimals` when a token can have so many. Raises `ValidationFailed`."""
    if isinstance(decimals, bool) or not isinstance(decimals, int) or not 0 <= decimals <= DECIMALS_MAX:
        raise ValidationFailed(f"decimals lie between 0 and {DECIMALS_MAX}", pointer="/decimals")
    return decimals
