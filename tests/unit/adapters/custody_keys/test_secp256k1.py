"""The signing library: byte-equal to eth-account and coincurve, and canonical whatever signer is behind it."""

from __future__ import annotations

import pytest
from coincurve import PrivateKey, PublicKey
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from custody_core.domain.encoding import (
    LOW_S_MAX,
    SECP256K1_ORDER,
    FeeMarketTransaction,
    MalformedSignature,
    keccak256,
    rlp_encode,
    serialize_signed,
    signing_hash,
    transaction_hash,
)
from custody_keys import secp256k1

KEYS = st.integers(1, SECP256K1_ORDER - 1).map(lambda number: number.to_bytes(32, "big"))
DIGESTS = st.binary(min_size=32, max_size=32)
UNUSABLE_KEYS = [
    bytes(32),
    SECP256K1_ORDER.to_bytes(32, "big"),
    b"\xff" * 32,
    b"",
    b"\1" * 31,
    b"\1" * 33,
]


def test_eip_155_example_is_signed_as_published() -> None:
    digest = bytes.fromhex("daf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53")
    assert secp256k1.sign_digest(b"\x46" * 32, digest) == (
        0,  # v of 37 is chain id 1 * 2 + 35 + y_parity
        0x28EF61340BD939BC2195FE537567866003E1A15D3C71FF63E1590620AA636276,
        0x67CBE9D8997F761AECB703304B3800CCF555C9F3DC64214B297FB1966A3B6D83,
    )
    assert secp256k1.address_of(b"\x46" * 32).hex() == "9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f"


def test_eip_2930_example_is_signed_as_published() -> None:
    """The type 1 transaction of the clients' shared tests, with the key that they all use."""
    key = bytes.fromhex("45a915e4d060149eb4365960e6a7a45f334393093061116b197e3240065ff2d8")
    access_list = ((bytes(18) + b"\x01\x01", (bytes(32), bytes(30) + b"\x60\xa7")),)
    call = (0x02625A00, b"\xcc" * 20, 100_000, bytes.fromhex("1a8451e6") + bytes(64), access_list)
    assert secp256k1.sign_digest(key, keccak256(b"\x01" + rlp_encode((1, 0, 1, *call)))) == (
        1,
        0xAFB6E247B1C490E284053C87AB5F6B59E219D51F743F7A4D83E400782BC7E4B9,
        0x479A268E0E0ACD4DE3F1E28E4FAC2A6B32A4195E8DFA9D19147ABE8807AA6F64,
    )


@pytest.mark.parametrize(
    ("tx", "raw"),
    [
        (
            FeeMarketTransaction(7822, 819, 75_853, 121_212, 35_552, bytes(18) + b"\xaa\xaa", 43_203_529),
            (
                "02f870821e8e8203338301284d8301d97c828ae094000000000000000000000000000000000000aaaa8402933bc980c080"
                "a0d067f2167008c59219652f91cbf8788dbca5f771f6e91e2b7657e85b78b472e0"
                "a01d305af9fe81fdba43f0dfcd400ed24dcace0a7e30d4e85701dcaaf484cd079e"
            ),
        ),
        (
            FeeMarketTransaction(7822, 353, 38_850, 136_295, 32_593, bytes(18) + b"\xaa\xaa", 61_901_619),
            (
                "02f86f821e8e8201618297c283021467827f5194000000000000000000000000000000000000aaaa8403b08b3380c001"
                "a004205678f13fc1d7b10feea6513dfa76e24418b6e08097d95c6f93a3b64e536d"
                "a01d45ad61bfece43862de2cce7d2575a8c1d08c26c87f3cb5f26d7b0be54a91b2"
            ),
        ),
    ],
)
def test_eip_1559_examples_of_besu_are_signed_as_published(tx: FeeMarketTransaction, raw: str) -> None:
    key = bytes.fromhex("8f2a55949038a9610f50fb23b5883af3b4ecb3c3bb792cbcefbd1542c692be63")
    assert serialize_signed(tx, *secp256k1.sign_digest(key, signing_hash(tx))).hex() == raw


@given(KEYS, DIGESTS)
def test_signature_equals_coincurve_is_low_s_and_recovers_the_address(key: bytes, digest: bytes) -> None:
    y_parity, r, s = secp256k1.sign_digest(key, digest)
    oracle = PrivateKey(key).sign_recoverable(digest, hasher=None)
    assert r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((y_parity,)) == oracle
    assert 0 < s <= LOW_S_MAX
    assert secp256k1.recover_address(digest, y_parity, r, s) == secp256k1.address_of(key)


@given(KEYS, st.integers(0, 300))
def test_signed_transfer_equals_eth_account(key: bytes, nonce: int) -> None:
    tx = FeeMarketTransaction(31_337, nonce, 10**9, 10**11, 21_000, b"\xcc" * 20, 10**18)
    raw = serialize_signed(tx, *secp256k1.sign_digest(key, signing_hash(tx)))
    oracle = Account.sign_transaction(
        {
            "type": 2,
            "chainId": 31_337,
            "nonce": nonce,
            "maxPriorityFeePerGas": 10**9,
            "maxFeePerGas": 10**11,
            "gas": 21_000,
            "to": b"\xcc" * 20,
            "value": 10**18,
        },
        key,
    )
    assert raw == oracle.raw_transaction
    assert transaction_hash(raw) == oracle.hash


@given(KEYS)
def test_address_equals_eth_account(key: bytes) -> None:
    assert "0x" + secp256k1.address_of(key).hex() == Account.from_key(key).address.lower()


@pytest.mark.parametrize("number", [1, 2, SECP256K1_ORDER - 1])
def test_keys_at_the_edges_sign(number: int) -> None:
    key = number.to_bytes(32, "big")
    digest = b"\x07" * 32
    assert secp256k1.recover_address(digest, *secp256k1.sign_digest(key, digest)) == secp256k1.address_of(key)


def test_a_key_that_can_be_wiped_signs_as_well() -> None:
    key = bytearray(b"\x46" * 32)
    assert secp256k1.sign_digest(key, bytes(32)) == secp256k1.sign_digest(bytes(key), bytes(32))
    assert secp256k1.address_of(key) == secp256k1.address_of(bytes(key))
    assert key == b"\x46" * 32


@pytest.mark.parametrize("key", UNUSABLE_KEYS)
def test_unusable_keys_are_refused_without_being_shown(key: bytes) -> None:
    with pytest.raises(secp256k1.InvalidPrivateKey) as signing:
        secp256k1.sign_digest(key, bytes(32))
    with pytest.raises(secp256k1.InvalidPrivateKey) as deriving:
        secp256k1.address_of(key)
    for raised in (signing, deriving):
        assert str(raised.value) == "a private key is 32 bytes between 1 and n-1"
        assert raised.value.__suppress_context__


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_digest_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="digest"):
        secp256k1.sign_digest(b"\1" * 32, bytes(length))
    with pytest.raises(MalformedSignature):
        secp256k1.recover_address(bytes(length), 0, 1, 1)


def test_generation_draws_again_until_the_key_is_usable() -> None:
    draws = iter([bytes(32), SECP256K1_ORDER.to_bytes(32, "big"), b"\xff" * 32, bytes(31) + b"\1"])
    asked = []

    def entropy(length: int) -> bytes:
        asked.append(length)
        return next(draws)

    assert secp256k1.generate_private_key(entropy) == bytes(31) + b"\1"
    assert asked == [32] * 4


@pytest.mark.parametrize("length", [0, 31, 32, 33])
def test_generation_gives_up_on_a_broken_source(length: int) -> None:
    with pytest.raises(secp256k1.EntropyFailure):
        secp256k1.generate_private_key(lambda _: bytes(length))


# Any signer's answer, as hardware would give it


@given(KEYS, DIGESTS)
def test_high_s_is_normalised_to_the_same_signer(key: bytes, digest: bytes) -> None:
    y_parity, r, s = secp256k1.sign_digest(key, digest)
    assert secp256k1.canonical_signature(1 - y_parity, r, SECP256K1_ORDER - s) == (y_parity, r, s)
    assert secp256k1.canonical_signature(y_parity, r, s) == (y_parity, r, s)


@pytest.mark.parametrize(
    ("y_parity", "r", "s"),
    [
        (0, 0, 1),
        (0, 1, 0),
        (0, SECP256K1_ORDER, 1),
        (0, 1, SECP256K1_ORDER),
        (0, 1, 2**256 - 1),
        (0, 1, -1),
        (2, 1, 1),
        (2, 1, SECP256K1_ORDER - 1),
        (-1, 1, SECP256K1_ORDER - 1),
    ],
)
def test_malformed_answers_of_a_signer_are_rejected(y_parity: int, r: int, s: int) -> None:
    with pytest.raises(MalformedSignature):
        secp256k1.canonical_signature(y_parity, r, s)
    with pytest.raises(MalformedSignature):
        secp256k1.recover_address(bytes(32), y_parity, r, s)


def test_recovery_takes_only_the_low_s_of_the_two_signatures() -> None:
    digest = b"\x09" * 32
    y_parity, r, s = secp256k1.sign_digest(b"\1" * 32, digest)
    with pytest.raises(MalformedSignature):
        secp256k1.recover_address(digest, 1 - y_parity, r, SECP256K1_ORDER - s)


@given(DIGESTS, st.integers(0, 1), st.integers(1, SECP256K1_ORDER - 1), st.integers(1, LOW_S_MAX))
def test_recovery_agrees_with_coincurve_on_any_numbers(digest: bytes, y_parity: int, r: int, s: int) -> None:
    compact = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((y_parity,))
    try:
        public_key = PublicKey.from_signature_and_message(compact, digest, hasher=None).format(compressed=False)
    except Exception:  # noqa: BLE001 - coincurve raises a bare Exception when no point has this r
        with pytest.raises(MalformedSignature):
            secp256k1.recover_address(digest, y_parity, r, s)
        return
    assert secp256k1.recover_address(digest, y_parity, r, s) == keccak256(public_key[1:])[12:]
