"""Why a call reverted, out of the error that tells of it."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from custody_core.domain.encoding import decode_revert_reason
from custody_rpc.envelopes import UNREADABLE, RpcError
from custody_rpc.error_words import shown

REVERT_DATA_LENGTH_MAX: Final = 64 * 1024
"""Longer revert data is not looked at: a reason fits in less."""

_QUOTED_REASON: Final = re.compile(r"reverted with reason string '(?P<hardhat>.*)'|reverted: (?P<geth>.+)", re.DOTALL)
_HEX: Final = re.compile(r"(?:Reverted )?(0x(?:[0-9a-fA-F]{2})*)", re.ASCII)


class _WithData(msgspec.Struct):
    data: str


_REVERT_DATA: Final = msgspec.json.Decoder(str | _WithData | None)


def revert_reason(error: RpcError) -> str | None:
    """The reason of a revert: decoded from the error's data where there is any, else what the message adds to the word."""
    data = _revert_data(error.data)
    if data:
        return decode_revert_reason(data)
    quoted = _QUOTED_REASON.search(error.message)
    return shown(quoted["hardhat"] or quoted["geth"] or "") or None if quoted else None


def _revert_data(data: msgspec.Raw) -> bytes:
    """The revert's bytes: hex (geth and most), `Reverted 0x…` (nethermind), or either within an object (hardhat)."""
    if len(data) > REVERT_DATA_LENGTH_MAX:
        return b""
    try:
        parsed = _REVERT_DATA.decode(data)
    except UNREADABLE:
        return b""
    text = parsed.data if isinstance(parsed, _WithData) else parsed or ""
    matched = _HEX.fullmatch(text)
    return bytes.fromhex(matched[1][2:]) if matched else b""
