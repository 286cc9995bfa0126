"""Paging cursors: where a list goes on, in a form that only we can make.

A cursor is the last entry's position and a MAC (HMAC-SHA-256, cut to 128 bits) over the position, the route, its filters and the
user. So one that was
edited, comes from another user, or belongs to another list is `invalid-cursor`, and never a look into somebody else's order of
things.
The key is shared by all web processes; it protects no secret, since every page is read with the caller's owner filter anyway.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Final

import attrs

from custody_core.errors import InvalidCursor

KEY_BYTES: Final = 32

_MAC_BYTES = 16
_CURSOR_CHARACTERS_MAX = 200


@attrs.frozen
class Cursors:
    """Makes and reads cursors under one key."""

    _key: bytes = attrs.field(repr=False)

    def make(self, position: str, *, binding: Mapping[str, object]) -> str:
        """The cursor of a list whose page ended at `position`. `binding` says which list of whom it is."""
        raw = self._mac(position, binding) + position.encode()
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    def read(self, cursor: str | None, *, binding: Mapping[str, object]) -> str | None:
        """The position of a cursor that `make` made for the same list; None without a cursor. Raises `InvalidCursor`."""
        if cursor is None:
            return None
        refusal = InvalidCursor("this cursor was not handed out for this list; begin again without one")
        if len(cursor) > _CURSOR_CHARACTERS_MAX or not cursor.isascii():
            raise refusal
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            mac, position = raw[:_MAC_BYTES], raw[_MAC_BYTES:].decode()
        except (binascii.Error, UnicodeDecodeError):
            raise refusal from None
        # Comparing the text again refuses the spellings of base64 that decode to the same bytes.
        if not hmac.compare_digest(mac, self._mac(position, binding)) or self.make(position, binding=binding) != cursor:
            raise refusal
        return position

    def _mac(self, position: str, binding: Mapping[str, object]) -> bytes:
        bound = json.dumps([position, binding], sort_keys=True, separators=(",", ":"))
        return hmac.new(self._key, bound.encode(), hashlib.sha256).digest()[:_MAC_BYTES]
