"""Private keys, each sealed under the master key (docs/adr/0005-sealed-keys.md).

Rules of this file

1. One seal per key: XChaCha20-Poly1305 with a random 24-byte nonce in front. Its associated data are schema, wallet id, address
   and key version, each behind its length, so that no two rows share them and no part of one row opens in another.
2. An opened key is used only after the address derived from it equals the row's.
3. What does not open is refused in the same words, whatever the reason.
4. A function that has key material in a variable does not raise: it wipes, and returns that there is nothing. Reporters print
   the variables of every frame that an exception passes through, those of the libraries below included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_ABYTES,
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
    crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
)
from nacl.exceptions import CryptoError
from nacl.utils import random

from custody_core.domain.addresses import address_from_bytes, address_to_bytes
from custody_core.domain.authorisation import Authorised, transaction_to_sign
from custody_core.domain.chain import Hash
from custody_core.domain.encoding import serialize_signed, signing_hash, transaction_hash
from custody_core.domain.wallet import SealedKey
from custody_core.errors import KeyIntegrity, SignerUnavailable
from custody_core.ports import Entropy, SignedTransaction
from custody_keys.key_file import MasterKeys
from custody_keys.randomness import CheckedEntropy
from custody_keys.secp256k1 import EntropyFailure, address_of, generate_private_key, sign_digest

NONCE_BYTES: Final = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
SEALED_KEY_BYTES: Final = NONCE_BYTES + 32 + crypto_aead_xchacha20poly1305_ietf_ABYTES

_KEY_SCHEMA: Final = b"custody/wallet-key/1"
_CHECK_SCHEMA: Final = b"custody/key-check/1"
_CHECK_TEXT: Final = b"the master key of this database"
_VERSION_BYTES: Final = 4


class SealedKeys:
    """The `Keys` port over a master key in memory. Sealed keys are 72 bytes: nonce, ciphertext, tag."""

    def __init__(self, master: MasterKeys, entropy: Entropy) -> None:
        """Raises `SignerUnavailable` when `entropy` fails its start-up test. `master` is closed by whoever made it."""
        self._master = master
        checked = _checked(entropy)
        if checked is None:
            raise _broken_randomness()
        self._entropy = checked

    def create(self, wallet_ids: Sequence[str]) -> Sequence[SealedKey]:
        created: dict[str, SealedKey] = {}
        for wallet_id in wallet_ids:
            key = self._create(wallet_id)
            if key is None or key.address in created:
                raise _broken_randomness()
            self.verify(key)  # a key that does not open again would take its deposits with it
            created[key.address] = key
        return tuple(created.values())

    def verify(self, key: SealedKey) -> None:
        _wipe(self._open(key))

    def sign(self, authorised: Authorised, key: SealedKey) -> SignedTransaction:
        unsigned = transaction_to_sign(authorised, key)
        digest = signing_hash(unsigned)
        private_key = self._open(key)
        try:
            signature = sign_digest(private_key, digest)
        finally:
            _wipe(private_key)
        raw = serialize_signed(unsigned, *signature)
        return SignedTransaction(raw, Hash("0x" + transaction_hash(raw).hex()))

    def _create(self, wallet_id: str) -> SealedKey | None:
        version, master_key = self._master.newest()
        try:
            nonce = self._entropy.random_bytes(NONCE_BYTES)
            private_key = generate_private_key(self._entropy.random_bytes)
        except EntropyFailure:
            return None
        address = address_of(private_key)
        sealed = _seal(master_key, private_key, _key_data(wallet_id, address, version), nonce)
        return SealedKey(wallet_id, address_from_bytes(address), version, sealed)

    def _open(self, key: SealedKey) -> bytearray:
        """The private key, which the caller wipes."""
        private_key = _open_own(self._master, key)
        if private_key is None:
            raise KeyIntegrity(
                "a sealed key does not open for its own wallet, address and key version; compare the row with a backup",
                wallet_id=key.wallet_id,
            )
        return private_key


def check_value(master: MasterKeys) -> bytes:
    """A value to keep beside the sealed keys: a constant, sealed under the current master key. Version, nonce, ciphertext, tag."""
    version, master_key = master.newest()
    encoded = version.to_bytes(_VERSION_BYTES, "big")
    return encoded + _seal(master_key, _CHECK_TEXT, _associated_data(_CHECK_SCHEMA, encoded), random(NONCE_BYTES))


def matches_check_value(master: MasterKeys, value: bytes) -> bool:
    """Whether `value` was made under one of these master keys: asked at the start, before anything is written."""
    encoded, sealed = value[:_VERSION_BYTES], value[_VERSION_BYTES:]
    opened = _unseal(master, int.from_bytes(encoded, "big"), sealed, _associated_data(_CHECK_SCHEMA, encoded))
    return opened == bytearray(_CHECK_TEXT)


def _open_own(master: MasterKeys, key: SealedKey) -> bytearray | None:
    """The private key of `key` if its address is the one of the row."""
    if len(key.sealed) != SEALED_KEY_BYTES:
        return None
    try:
        address = address_to_bytes(key.address)
        private_key = _unseal(master, key.key_version, key.sealed, _key_data(key.wallet_id, address, key.key_version))
        if private_key is None or address_of(private_key) == address:
            return private_key
    except (ValueError, OverflowError):  # the row holds no address, no text, no version, or the seal no private key
        return None
    _wipe(private_key)
    return None


def _seal(master_key: bytes, message: bytes, associated_data: bytes, nonce: bytes) -> bytes:
    return nonce + crypto_aead_xchacha20poly1305_ietf_encrypt(message, associated_data, nonce, master_key)


def _unseal(master: MasterKeys, version: int, sealed: bytes, associated_data: bytes) -> bytearray | None:
    master_key = master.of_version(version)
    if master_key is None or len(sealed) < SEALED_KEY_BYTES - 32:
        return None
    nonce, ciphertext = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
    try:
        return bytearray(crypto_aead_xchacha20poly1305_ietf_decrypt(ciphertext, associated_data, nonce, master_key))
    except CryptoError:
        return None


def _key_data(wallet_id: str, address: bytes, version: int) -> bytes:
    return _KEY_SCHEMA_FIELD + _associated_data(wallet_id.encode(), address, version.to_bytes(_VERSION_BYTES, "big"))


def _associated_data(*fields: bytes) -> bytes:
    """The fields, each behind its length in 4 big-endian bytes: no two lists of fields give the same bytes."""
    return b"".join([len(field).to_bytes(4, "big") + field for field in fields])


#: Made once: this is the signing path.
_KEY_SCHEMA_FIELD: Final = _associated_data(_KEY_SCHEMA)


def _wipe(secret: bytearray) -> None:
    secret[:] = bytes(len(secret))


def _checked(entropy: Entropy) -> CheckedEntropy | None:
    try:
        return CheckedEntropy(entropy.random_bytes)
    except EntropyFailure:
        return None


def _broken_randomness() -> SignerUnavailable:
    return SignerUnavailable("the source of randomness repeats itself, so no key was made")
