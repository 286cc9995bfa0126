"""What a transaction calls, as JSON."""

from __future__ import annotations

from typing import Any

from custody_core.domain.encoding import AccessList


def access_list_row(access_list: AccessList) -> list[list[Any]] | None:
    """[address, [storage key, …]] for each entry; None for an empty list."""
    return [["0x" + address.hex(), ["0x" + key.hex() for key in keys]] for address, keys in access_list] or None


def to_access_list(row: list[Any] | None) -> AccessList:
    """The access list of `access_list_row`."""
    return tuple((bytes.fromhex(address[2:]), tuple(bytes.fromhex(key[2:]) for key in keys)) for address, keys in row or ())
