"""Private keys in memory, in the clear: for tests and simulations, never for money.

What stands in a row's `sealed` is a handle on the key. A handle opens for its own wallet, address and key version only, as a seal
does; signatures are real. The same entropy gives the same keys, handles and signatures.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import attrs

from custody_core.domain.addresses import Address, address_from_bytes
from custody_core.domain.authorisation import Authorised, transaction_to_sign
from custody_core.domain.chain import Hash
from custody_core.domain.encoding import SECP256K1_ORDER, keccak256, serialize_signed, signing_hash, transaction_hash
from custody_core.domain.wallet import SealedKey
from custody_core.errors import KeyIntegrity, SignerUnavailable
from custody_core.ports import Entropy, SignedTransaction

# Its SWIG types warn while they are made. Where warnings are errors (many test suites) they are not made, and Python crashes
# when it ends (swig/swig#3061).
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import wallycore

KEY_VERSION: Final = 1

_SIGNING_FLAGS: Final[int] = wallycore.EC_FLAG_ECDSA | wallycore.EC_FLAG_RECOVERABLE
#: A recoverable signature begins with 27 + recovery id + 4, Bitcoin's mark of a compressed public key.
_RECOVERY_OFFSET: Final = 31
_DRAWS_MAX: Final = 8

wallycore.init(0)


@attrs.frozen
class _Entry:
    """A key with the row that it belongs to."""

    row: SealedKey
    private_key: bytes = attrs.field(repr=False)


class MemoryKeys:
    """The `Keys` port without the sealing."""

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy
        self._entries: dict[bytes, _Entry] = {}

    def create(self, wallet_ids: Sequence[str]) -> Sequence[SealedKey]:
        created: dict[bytes, _Entry] = {}
        for wallet_id in wallet_ids:
            entry = self._make(wallet_id)
            if entry is None or entry.row.sealed in created or entry.row.sealed in self._entries:
                raise SignerUnavailable("the source of randomness repeats itself, so no key was made")
            created[entry.row.sealed] = entry
        self._entries.update(created)
        return tuple(entry.row for entry in created.values())

    def verify(self, key: SealedKey) -> None:
        self._open(key)

    def sign(self, authorised: Authorised, key: SealedKey) -> SignedTransaction:
        unsigned = transaction_to_sign(authorised, key)
        signature = _sign(self._open(key), signing_hash(unsigned))
        raw = serialize_signed(unsigned, *signature)
        return SignedTransaction(raw, Hash("0x" + transaction_hash(raw).hex()))

    def _make(self, wallet_id: str) -> _Entry | None:
        for _ in range(_DRAWS_MAX):
            private_key = self._entropy.random_bytes(32)
            if 0 < int.from_bytes(private_key, "big") < SECP256K1_ORDER:
                address = _address_of(private_key)
                return _Entry(SealedKey(wallet_id, address, KEY_VERSION, blake2b(address.encode()).digest()), private_key)
        return None

    def _open(self, key: SealedKey) -> _Entry:
        entry = self._entries.get(key.sealed)
        if entry is None or entry.row != key or _address_of(entry.private_key) != key.address:
            raise KeyIntegrity(
                "a sealed key does not open for its own wallet, address and key version; compare the row with a backup",
                wallet_id=key.wallet_id,
            )
        return entry


def _sign(entry: _Entry, digest: bytes) -> tuple[int, int, int]:
    """y_parity, r and s (RFC 6979, low s)."""
    signature = bytes(wallycore.ec_sig_from_bytes(entry.private_key, digest, _SIGNING_FLAGS))
    return signature[0] - _RECOVERY_OFFSET, int.from_bytes(signature[1:33], "big"), int.from_bytes(signature[33:], "big")


def _address_of(private_key: bytes) -> Address:
    compressed = wallycore.ec_public_key_from_private_key(private_key)
    return address_from_bytes(keccak256(bytes(wallycore.ec_public_key_decompress(compressed)[1:]))[12:])
