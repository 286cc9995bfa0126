"""Who is asking: the `Authorization` header, and nothing else. Cookies are not looked at.

What a secret stands for is remembered for half a second, under its SHA-256, so that a busy client does not cost two look-ups for
each request.
A key that is revoked, or a user who is disabled, is therefore refused within that time by every process.
"""

from __future__ import annotations

import re
import time
from typing import Final

from custody_core import Custody
from custody_core.domain.access import Principal, digest_of
from custody_core.errors import Unauthenticated

FRESH_S: Final = 0.5
REMEMBERED_MAX: Final = 10_000

_BEARER = re.compile(r"[Bb]earer ([A-Za-z0-9._~+/=-]{1,4096})", re.ASCII)


class Credentials:
    """Turns the `Authorization` header into a principal. A bearer token is an API key's secret; another kind would be told apart
    here."""

    def __init__(self, custody: Custody) -> None:
        self._custody = custody
        self._known: dict[bytes, tuple[float, Principal]] = {}

    def principal(self, authorization: str | None) -> Principal:
        """Whom the header speaks for. Raises `Unauthenticated`, `TokenExpired`."""
        match = _BEARER.fullmatch(authorization or "")
        if match is None:
            raise Unauthenticated("send an API key, as in `Authorization: Bearer ck_…`")
        digest, now = digest_of(match[1]), time.monotonic()
        known = self._known.get(digest)
        if known is not None and known[0] > now:
            return known[1]
        principal = self._custody.api_keys.authenticate(match[1])
        if len(self._known) >= REMEMBERED_MAX:
            self._known.clear()
        self._known[digest] = (now + FRESH_S, principal)
        return principal

    def forget(self) -> None:
        """Asks again for everybody; after a key was revoked here."""
        self._known.clear()
