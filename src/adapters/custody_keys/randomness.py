"""A source of randomness that is watched while it is used.

Every draw is compared with the one before it, also where one becomes a key and the other the nonce that is stored in clear. That
finds a source that is constant or begins anew at each call. One that repeats later makes an address that exists already, which
the store refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Final

from custody_keys.secp256k1 import EntropyFailure

#: Draws are compared up to here; chance makes two of them equal once in 2^192.
COMPARED_BYTES: Final = 24


class CheckedEntropy:
    """Draws of at least `COMPARED_BYTES` from `source`. Raises `EntropyFailure`, at the start-up test too."""

    def __init__(self, source: Callable[[int], bytes]) -> None:
        self._source = source
        self._last_digest = b""  # of the last draw's beginning: the draw itself may have become a key
        for _ in range(2):
            self.random_bytes(COMPARED_BYTES)

    def random_bytes(self, count: int) -> bytes:
        """`count` bytes that differ from the last draw."""
        draw = self._source(count)
        digest = blake2b(draw[:COMPARED_BYTES]).digest()
        sound = len(draw) == count >= COMPARED_BYTES and len(set(draw)) > 1 and digest != self._last_digest
        self._last_digest = digest
        if not sound:
            raise EntropyFailure("the source of randomness repeats itself")
        return draw
