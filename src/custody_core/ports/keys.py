"""The port to the private keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import attrs

from custody_core.domain.authorisation import Authorised
from custody_core.domain.chain import Hash
from custody_core.domain.wallet import SealedKey


@attrs.frozen
class SignedTransaction:
    """The bytes to broadcast (EIP-2718 envelope) and their hash."""

    raw: bytes
    hash: Hash


class Keys(Protocol):
    """Makes and uses private keys, which never leave it unsealed.

    Every method raises `SignerUnavailable` when the signer does not answer and `Sealed` when its master key is not loaded.
    """

    def create(self, wallet_ids: Sequence[str]) -> Sequence[SealedKey]:
        """One new key per wallet id, sealed for that id and its address."""
        ...

    def verify(self, key: SealedKey) -> None:
        """Opens `key` and compares the derived address with its own. Signs nothing. Raises `KeyIntegrity`."""
        ...

    def sign(self, authorised: Authorised, key: SealedKey) -> SignedTransaction:
        """Signs exactly what was authorised, after the check of `verify`, raising as it does. RFC 6979, low s (EIP-2)."""
        ...
