"""Reading a request to call a contract: calldata, access lists (EIP-2930), and which contracts are never called."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence

from custody_core.domain.addresses import Address, address_to_bytes, parse_address
from custody_core.domain.calldata import SELECTOR_LENGTH
from custody_core.domain.calls import moves_token
from custody_core.domain.encoding import AccessList
from custody_core.domain.tokens import Token
from custody_core.errors import InvalidAddress, ValidationFailed

DATA_LENGTH_MAX = 32 * 1024
"""Bytes of calldata. An HTTP body of 64 KB holds fewer, and nodes take transactions of up to 128 KB (geth's pool)."""

ACCESS_LIST_ENTRIES_MAX = 100
ACCESS_LIST_KEYS_MAX = 1000

_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})*", re.ASCII)
_STORAGE_KEY = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)


def read_data(data: object) -> bytes:
    """Calldata, as bytes or as 0x and hexadecimal digits. Raises `ValidationFailed`."""
    if isinstance(data, str) and len(data) <= 2 + 2 * DATA_LENGTH_MAX and _HEX.fullmatch(data):
        data = bytes.fromhex(data[2:])
    if not isinstance(data, bytes) or len(data) > DATA_LENGTH_MAX:
        raise ValidationFailed(
            f"calldata is 0x and two hexadecimal digits for each of at most {DATA_LENGTH_MAX} bytes", pointer="/data"
        )
    if len(data) < SELECTOR_LENGTH:
        raise ValidationFailed("calldata begins with the four bytes of a method's selector", pointer="/data")
    return data


def read_access_list(entries: object) -> AccessList:
    """An access list in the JSON form of EIP-2930: `[{"address": …, "storageKeys": […]}]`. Raises `ValidationFailed`."""
    listed = _list(entries, "/access_list")
    if len(listed) > ACCESS_LIST_ENTRIES_MAX:
        raise ValidationFailed(f"an access list has at most {ACCESS_LIST_ENTRIES_MAX} entries", pointer="/access_list")
    access_list = tuple(_entry(entry, f"/access_list/{index}") for index, entry in enumerate(listed))
    if sum(len(keys) for _, keys in access_list) > ACCESS_LIST_KEYS_MAX:
        raise ValidationFailed(f"an access list has at most {ACCESS_LIST_KEYS_MAX} storage keys in all", pointer="/access_list")
    return access_list


def require_callable(contract: Address, data: bytes, *, managed: Container[Address], token: str | None) -> None:
    """Refuses, beside what no transfer may go to, calls of addresses that are ours, and token transfers in the guise of calls.

    `token` is the alias of the token whose contract is called. Raises `InvalidAddress`, `ValidationFailed`.
    """
    if contract in managed:
        raise InvalidAddress("this is a wallet of this service and no contract", pointer="/to", rule="recipient-managed-address")
    if token is not None and moves_token(data):
        raise ValidationFailed(f"this moves {token}; send it as a transfer of that asset, which is in the books", pointer="/data")


def token_at(tokens: Iterable[Token], chain_id: int, address: Address) -> str | None:
    """The alias of the token with that contract, whether it may be sent now or not."""
    return next((each.asset.alias for each in tokens if (each.asset.chain_id, each.asset.contract) == (chain_id, address)), None)


def _entry(entry: object, pointer: str) -> tuple[bytes, tuple[bytes, ...]]:
    if not isinstance(entry, Mapping) or set(entry) != {"address", "storageKeys"}:
        raise ValidationFailed("an entry has an address and its storageKeys", pointer=pointer)
    address = address_to_bytes(parse_address(entry["address"], pointer=f"{pointer}/address"))
    keys = _list(entry["storageKeys"], f"{pointer}/storageKeys")
    for index, key in enumerate(keys):
        if not isinstance(key, str) or _STORAGE_KEY.fullmatch(key) is None:
            raise ValidationFailed("a storage key is 0x and 64 hexadecimal digits", pointer=f"{pointer}/storageKeys/{index}")
    return address, tuple(bytes.fromhex(str(key)[2:]) for key in keys)


def _list(value: object, pointer: str) -> Sequence[object]:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise ValidationFailed("this is a list", pointer=pointer)
    return value
