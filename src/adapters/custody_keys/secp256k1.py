"""secp256k1 by libsecp256k1, through wallycore (docs/adr/0004-signing-library.md).

Rules of this file

1. A private key is 32 big-endian bytes between 1 and n-1, held by the caller. Nothing here keeps or shows one.
2. Signatures are deterministic (RFC 6979) and canonical for Ethereum: low s (EIP-2), y_parity 0 or 1. The flag that
   grinds for a low r, which Bitcoin wallets like, stays off: it changes the bytes that other Ethereum signers give.
3. A digest is signed as it is. What may be signed at all is decided above this file.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from custody_core.domain.encoding import (
    LOW_S_MAX,
    SECP256K1_ORDER,
    MalformedSignature,
    keccak256,
    require_canonical_signature,
)

# Its SWIG types warn while they are made. Where warnings are errors (many test suites) they are not made, and Python crashes when
# it ends (swig/swig#3061).
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import wallycore

_FLAGS: Final[int] = wallycore.EC_FLAG_ECDSA | wallycore.EC_FLAG_RECOVERABLE
#: A recoverable signature begins with 27 + recovery id + 4, Bitcoin's mark of a compressed public key.
_RECOVERY_OFFSET: Final = 31
#: One draw fails once in 2^128, so a source that fails this often is broken, not unlucky.
_DRAWS_MAX: Final = 8

# The library makes its context at first use and blinds it against timing and power analysis only when told to.
# Both must be over before there are threads; an import is.
wallycore.init(0)
wallycore.secp_randomize(os.urandom(wallycore.WALLY_SECP_RANDOMIZE_LEN))


class InvalidPrivateKey(ValueError):
    """The private key is not 32 bytes between 1 and n-1."""


class EntropyFailure(RuntimeError):
    """The source of randomness gave bytes that chance does not give."""


def generate_private_key(entropy: Callable[[int], bytes]) -> bytes:
    """32 bytes of `entropy(32)`, drawn again while they are 0 or at least n. Raises `EntropyFailure`."""
    for _ in range(_DRAWS_MAX):
        candidate = entropy(32)
        if len(candidate) != 32:
            raise EntropyFailure("the source of randomness gave another length than 32 bytes")
        if 0 < int.from_bytes(candidate, "big") < SECP256K1_ORDER:
            return candidate
    raise EntropyFailure("the source of randomness gave no usable private key")


def address_of(private_key: bytes | bytearray) -> bytes:
    """The 20-byte address. Raises `InvalidPrivateKey`."""
    try:
        public_key = wallycore.ec_public_key_from_private_key(private_key)
    except ValueError:
        raise InvalidPrivateKey("a private key is 32 bytes between 1 and n-1") from None
    return _address_of_public_key(bytes(public_key))


def sign_digest(private_key: bytes | bytearray, digest: bytes) -> tuple[int, int, int]:
    """y_parity, r and s over a 32-byte digest. Raises `InvalidPrivateKey`, and `ValueError` for another digest."""
    if len(digest) != 32:
        raise ValueError("a digest is 32 bytes")
    try:
        signature = wallycore.ec_sig_from_bytes(private_key, digest, _FLAGS)
    except ValueError:
        raise InvalidPrivateKey("a private key is 32 bytes between 1 and n-1") from None
    r, s = int.from_bytes(signature[1:33], "big"), int.from_bytes(signature[33:], "big")
    return canonical_signature(signature[0] - _RECOVERY_OFFSET, r, s)


def canonical_signature(y_parity: int, r: int, s: int) -> tuple[int, int, int]:
    """Any signer's answer with a high s turned into the equivalent low one (EIP-2). Raises `MalformedSignature`.

    Negating s mirrors the point R, hence the other parity. libsecp256k1 never needs it; hardware does half of the time.
    """
    if LOW_S_MAX < s < SECP256K1_ORDER and y_parity in (0, 1):
        y_parity, s = 1 - y_parity, SECP256K1_ORDER - s
    require_canonical_signature(y_parity, r, s)
    return y_parity, r, s


def recover_address(digest: bytes, y_parity: int, r: int, s: int) -> bytes:
    """The 20-byte address whose key signed a 32-byte digest. Raises `MalformedSignature`."""
    require_canonical_signature(y_parity, r, s)
    signature = bytes((_RECOVERY_OFFSET + y_parity,)) + r.to_bytes(32, "big") + s.to_bytes(32, "big")
    try:
        public_key = wallycore.ec_sig_to_public_key(digest, signature)
    except ValueError:
        raise MalformedSignature("no public key fits this digest and signature") from None
    return _address_of_public_key(bytes(public_key))


@lru_cache(maxsize=4096)
def _address_of_public_key(compressed: bytes) -> bytes:
    """Kept for wallets that sign again and again: it is a tenth of the work, and public keys are no secret."""
    uncompressed: bytearray = wallycore.ec_public_key_decompress(compressed)
    return keccak256(uncompressed[1:])[12:]  # without the leading 0x04
