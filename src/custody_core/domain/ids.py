"""Identifiers: a prefix that says what it is, 48 bits of time so that they sort, 80 bits of chance so that nobody guesses one.

The body is a ULID (26 characters of Crockford's base 32), in lower case.
"""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
"""Ten bits at a time: every change that is saved makes some identifiers."""

_ID = re.compile(r"[a-z]{3}_[0-7][0-9a-hjkmnp-tv-z]{25}", re.ASCII)

ENTROPY_BYTES = 10
"""Random bytes in one identifier."""


class IdPrefix(StrEnum):
    """What an identifier names."""

    USER = "usr"
    WALLET = "wal"
    TRANSACTION = "txn"
    ATTEMPT = "att"
    TOKEN = "tok"  # noqa: S105 - a prefix, not a secret
    POLICY = "pol"
    DECISION = "dec"
    EVENT = "evt"
    AUDIT = "aud"
    API_KEY = "key"
    REORGANISATION = "reo"


def make_id(prefix: IdPrefix, now: datetime, entropy: bytes) -> str:
    """The identifier for `prefix` made at `now` from `ENTROPY_BYTES` random bytes."""
    if len(entropy) != ENTROPY_BYTES:
        raise ValueError(f"an identifier takes {ENTROPY_BYTES} random bytes, not {len(entropy)}")
    value = _milliseconds(now) << 80 | int.from_bytes(entropy, "big")
    return f"{prefix}_" + "".join([_PAIRS[value >> shift & 1023] for shift in range(120, -1, -10)])


def first_id(prefix: IdPrefix, moment: datetime) -> str:
    """The least identifier for `prefix` that can be made at `moment`: all that are made later are not below it."""
    return make_id(prefix, moment, bytes(ENTROPY_BYTES))


def is_id(text: str, prefix: IdPrefix) -> bool:
    """Whether `text` could be an identifier of that kind. What is not one is simply not found."""
    return text.startswith(f"{prefix}_") and _ID.fullmatch(text) is not None


def _milliseconds(moment: datetime) -> int:
    """Since 1970, which is where identifiers begin."""
    return max(int(moment.timestamp() * 1000), 0) & (2**48 - 1)
