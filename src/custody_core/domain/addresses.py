"""Addresses.

Rules of this file

1. Inside, an `Address` is always its EIP-55 text, so equality is string equality and what a person sees is what was compared.
2. Input is `0x` and 40 hex digits, all lower case or with a valid EIP-55 checksum. Anything else is refused: an upper-case or
   wrongly mixed address is a typing error about to cost money. (`eth_utils.is_address` accepts those; we do not.)
3. Some well-formed addresses are never a recipient: the zero address, the precompiles, the token's own contract, the sender
   itself. Each refusal names its rule.
"""

from __future__ import annotations

import re
from typing import NewType

from custody_core.domain.encoding import checksum_address_text
from custody_core.errors import InvalidAddress

Address = NewType("Address", str)
"""A 20-byte account address in EIP-55 form."""

ZERO_ADDRESS = Address("0x" + "00" * 20)

PRECOMPILE_MAX = 0x1FF
"""Addresses 1 … 0x1ff are reserved for precompiled contracts (EIP-1352's range is up to 0xffff; RIP-7212 took 0x100)."""

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)


def parse_address(text: object, *, pointer: str = "/to") -> Address:
    """The address that `text` states. Raises `InvalidAddress` naming the field by `pointer`."""
    if not isinstance(text, str) or _ADDRESS.fullmatch(text) is None:
        raise InvalidAddress("an address is 0x and 40 hexadecimal digits", pointer=pointer, rule="address-format")
    checksummed = checksum_address_text(bytes.fromhex(text[2:]))
    if text not in (checksummed, text.lower()):
        raise InvalidAddress(
            "the address's EIP-55 checksum is wrong; compare it with its source, or give it all in lower case",
            pointer=pointer,
            rule="address-checksum",
        )
    return Address(checksummed)


def address_from_bytes(raw: bytes) -> Address:
    """The address of 20 raw bytes. Raises `ValueError` for another length."""
    if len(raw) != 20:
        raise ValueError(f"an address has 20 bytes, not {len(raw)}")
    return Address(checksum_address_text(raw))


def address_to_bytes(address: Address) -> bytes:
    """The 20 raw bytes of `address`."""
    return bytes.fromhex(address[2:])


def require_recipient(to: Address, *, sender: Address, token: Address | None, pointer: str = "/to") -> None:
    """Refuses, by a named rule, recipients that can only be a mistake. Raises `InvalidAddress`."""
    if to == ZERO_ADDRESS:
        raise InvalidAddress("the zero address burns what it receives", pointer=pointer, rule="recipient-zero-address")
    if int(to, 16) <= PRECOMPILE_MAX:
        raise InvalidAddress(
            "this is a precompiled contract; what it receives is lost", pointer=pointer, rule="recipient-precompile"
        )
    if to == sender:
        raise InvalidAddress("this is the wallet's own address", pointer=pointer, rule="recipient-own-address")
    if token is not None and to == token:
        raise InvalidAddress(
            "this is the token's own contract; what it receives is lost", pointer=pointer, rule="recipient-token-contract"
        )


SYSTEM_ADDRESS = address_from_bytes(b"\xff" * 19 + b"\xfe")
"""What ether's own movements are logged as from, where a chain logs them (EIP-7708). Those logs look like a token's `Transfer`."""


def require_contract(address: Address, *, pointer: str = "/address") -> None:
    """Refuses what cannot be a token's contract. Raises `InvalidAddress`."""
    if int(address, 16) <= PRECOMPILE_MAX:
        raise InvalidAddress("no token lives at this address", pointer=pointer, rule="contract-reserved-address")
    if address == SYSTEM_ADDRESS:
        raise InvalidAddress(
            "what this address logs are movements of ether (EIP-7708), not a token's",
            pointer=pointer,
            rule="contract-system-address",
        )
