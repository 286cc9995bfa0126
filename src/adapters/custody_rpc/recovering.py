"""Whose signature a transaction carries."""

from __future__ import annotations

from custody_core.domain.addresses import Address, address_from_bytes
from custody_core.domain.encoding import decode_signed, keccak256, signing_hash

_COMPRESSED = 31
"""What libsecp256k1's recoverable form begins with, for parity 0: Bitcoin's mark of a compressed key."""


def signer_of(raw: bytes) -> Address | None:
    """The account that signed these bytes of an EIP-1559 transaction, None where nobody can have.

    Raises `MalformedTransaction`, `MalformedSignature`.
    """
    import wallycore  # noqa: PLC0415  a process that only accepts has no code that could sign

    unsigned, y_parity, r, s = decode_signed(raw)
    signature = bytes((_COMPRESSED + y_parity,)) + r.to_bytes(32, "big") + s.to_bytes(32, "big")
    try:
        public_key = wallycore.ec_public_key_decompress(wallycore.ec_sig_to_public_key(signing_hash(unsigned), signature))
    except ValueError:
        return None
    return address_from_bytes(keccak256(bytes(public_key[1:]))[12:])
