"""Keys on a curve that is none, because a million signatures have to be cheap.

A signature's `r` holds the signer's address and a digest of what was signed, so `recover` gives the signer, and a signature of
anything else gives nobody. Everything else (seals that open for their own row only, what may be asked for) is as in real keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from custody_core.domain.addresses import address_from_bytes, address_to_bytes
from custody_core.domain.authorisation import Authorised, transaction_to_sign
from custody_core.domain.chain import Hash
from custody_core.domain.encoding import serialize_signed, signing_hash, transaction_hash
from custody_core.domain.wallet import SealedKey
from custody_core.errors import KeyIntegrity
from custody_core.ports import Entropy, SignedTransaction


class FakeCurveKeys:
    """The `Keys` port. The machine that holds it may die; the keys, sealed in the rows, do not."""

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy

    def create(self, wallet_ids: Sequence[str]) -> Sequence[SealedKey]:
        """One key per wallet."""
        return tuple(self._make(wallet_id) for wallet_id in wallet_ids)

    def verify(self, key: SealedKey) -> None:
        """Whether the seal is this row's."""
        if key.sealed != _seal(key.wallet_id, address_to_bytes(key.address)):
            raise KeyIntegrity("a sealed key does not open for its own wallet and address", wallet_id=key.wallet_id)

    def sign(self, authorised: Authorised, key: SealedKey) -> SignedTransaction:
        """The same bytes for the same transaction, every time."""
        self.verify(key)
        unsigned = transaction_to_sign(authorised, key)
        digest, address = signing_hash(unsigned), address_to_bytes(key.address)
        raw = serialize_signed(unsigned, 0, int.from_bytes(address + _mark(digest, address), "big"), 1)
        return SignedTransaction(raw, Hash("0x" + transaction_hash(raw).hex()))

    def _make(self, wallet_id: str) -> SealedKey:
        address = self._entropy.random_bytes(20)
        return SealedKey(wallet_id, address_from_bytes(address), 1, _seal(wallet_id, address))


def recover(digest: bytes, _y_parity: int, r: int, _s: int) -> bytes:
    """The address that signed `digest`. Raises `ValueError` where nobody did."""
    raw = r.to_bytes(31, "big")
    address = raw[:20]
    if raw[20:] != _mark(digest, address):
        raise ValueError("nobody signed that")
    return address


def _mark(digest: bytes, address: bytes) -> bytes:
    return blake2b(digest + address, digest_size=11).digest()


def _seal(wallet_id: str, address: bytes) -> bytes:
    return blake2b(wallet_id.encode() + address).digest()
