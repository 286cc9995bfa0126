"""Byte formats: published examples, and eth-account, rlp and eth-abi as oracles."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import rlp
from eth_abi.abi import encode as abi_encode
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from custody_core.domain import encoding
from custody_core.domain.encoding import (
    LOW_S_MAX,
    SECP256K1_ORDER,
    U64_MAX,
    U256_MAX,
    FeeMarketTransaction,
    MalformedSignature,
    MalformedTransaction,
)

PLAIN = FeeMarketTransaction(
    chain_id=1,
    nonce=0,
    max_priority_fee_per_gas=1,
    max_fee_per_gas=2,
    gas_limit=21_000,
    to=bytes.fromhex("cc" * 20),
    value=10**18,
)
ADDRESSES = st.binary(min_size=20, max_size=20)
WORDS = st.integers(0, U256_MAX)
TREES = st.recursive(st.binary(max_size=80), lambda items: st.lists(items, max_size=6), max_leaves=30)


@st.composite
def transactions(draw: st.DrawFn) -> FeeMarketTransaction:
    edges = st.sampled_from([0, 1, 0x7F, 0x80, 0xFF, 0x100, 2**63])
    fees = sorted(draw(st.tuples(WORDS | edges, WORDS | edges)))
    keys = st.lists(st.binary(min_size=32, max_size=32), max_size=3).map(tuple)
    return FeeMarketTransaction(
        chain_id=draw(st.integers(1, U64_MAX)),
        nonce=draw(st.integers(0, U64_MAX - 1) | edges),
        max_priority_fee_per_gas=fees[0],
        max_fee_per_gas=fees[1],
        gas_limit=draw(st.integers(0, U64_MAX) | edges),
        to=draw(ADDRESSES),
        value=draw(WORDS | edges),
        data=draw(st.binary(max_size=300)),
        access_list=tuple(draw(st.lists(st.tuples(ADDRESSES, keys), max_size=3))),
    )


def as_dictionary(tx: FeeMarketTransaction) -> dict[str, Any]:
    return {
        "type": 2,
        "chainId": tx.chain_id,
        "nonce": tx.nonce,
        "maxPriorityFeePerGas": tx.max_priority_fee_per_gas,
        "maxFeePerGas": tx.max_fee_per_gas,
        "gas": tx.gas_limit,
        "to": tx.to,
        "value": tx.value,
        "data": tx.data,
        "accessList": [
            {"address": "0x" + address.hex(), "storageKeys": ["0x" + key.hex() for key in keys]} for address, keys in tx.access_list
        ],
    }


# Published examples


def test_s_20_eip_155_example_encodes_and_hashes() -> None:
    unsigned = (9, 20 * 10**9, 21_000, b"\x35" * 20, 10**18, b"", 1, 0, 0)
    encoded = encoding.rlp_encode(unsigned)
    assert encoded.hex() == ("ec098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080018080")
    assert encoding.keccak256(encoded).hex() == "daf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53"


def test_s_20_eip_1559_example_of_besu_and_ethereumjs_decodes_and_encodes() -> None:
    raw = bytes.fromhex(
        "02f870821e8e8203338301284d8301d97c828ae094000000000000000000000000000000000000aaaa8402933bc980c080"
        "a0d067f2167008c59219652f91cbf8788dbca5f771f6e91e2b7657e85b78b472e0"
        "a01d305af9fe81fdba43f0dfcd400ed24dcace0a7e30d4e85701dcaaf484cd079e"
    )
    tx, y_parity, r, s = encoding.decode_signed(raw)
    assert tx == FeeMarketTransaction(
        chain_id=7822,
        nonce=819,
        max_priority_fee_per_gas=75_853,
        max_fee_per_gas=121_212,
        gas_limit=35_552,
        to=bytes(18) + b"\xaa\xaa",
        value=43_203_529,
    )
    assert encoding.serialize_signed(tx, y_parity, r, s) == raw
    sender = Account.from_key("0x8f2a55949038a9610f50fb23b5883af3b4ecb3c3bb792cbcefbd1542c692be63").address
    assert Account.recover_transaction(raw) == sender


def test_s_20_eip_2930_example_has_the_access_list_of_its_published_form() -> None:
    """The type 1 transaction of the clients' shared tests, whose sender is known; type 2 encodes its list the same way."""
    access_list = ((bytes(18) + b"\x01\x01", (bytes(32), bytes(30) + b"\x60\xa7")),)
    data = bytes.fromhex("1a8451e6") + bytes(64)
    r = 0xAFB6E247B1C490E284053C87AB5F6B59E219D51F743F7A4D83E400782BC7E4B9
    s = 0x479A268E0E0ACD4DE3F1E28E4FAC2A6B32A4195E8DFA9D19147ABE8807AA6F64
    call = (0x02625A00, b"\xcc" * 20, 100_000, data, access_list)
    raw_type_1 = b"\x01" + encoding.rlp_encode((1, 0, 1, *call, 1, r, s))
    assert Account.recover_transaction(raw_type_1) == "0xa94f5374Fce5edBC8E2a8697C15331677e6EbF0B"
    payload = encoding.signing_payload(FeeMarketTransaction(1, 0, 1, 1, *call))
    assert payload == b"\x02" + encoding.rlp_encode((1, 0, 1, 1, *call))


@pytest.mark.parametrize(
    "text",
    [
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
        "0xde709f2102306220921060314715629080e2fb77",
        "0x27b1fdb04752bbc536007a920d24acb045561c26",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ],
)
def test_eip_55_examples(text: str) -> None:
    assert encoding.checksum_address_text(bytes.fromhex(text[2:])) == text


def test_s_20_eip_191_personal_message_of_the_json_rpc_documentation() -> None:
    digest = encoding.personal_message_hash(b"Some data")
    assert digest.hex() == "1da44b586eb0729ff70a73c326926f6ed5a25f5b056e7f47fbc6e58d86871655"


def test_constants_are_hashes_of_their_signatures() -> None:
    assert keccak(text="transfer(address,uint256)")[:4] == encoding.ERC20_TRANSFER_SELECTOR
    assert keccak(text="balanceOf(address)")[:4] == encoding.ERC20_BALANCE_OF_SELECTOR
    assert keccak(text="decimals()")[:4] == encoding.ERC20_DECIMALS_SELECTOR
    assert keccak(text="Transfer(address,address,uint256)") == encoding.ERC20_TRANSFER_TOPIC
    assert keccak(text="Error(string)")[:4] == encoding.ERROR_SELECTOR
    assert keccak(text="Panic(uint256)")[:4] == encoding.PANIC_SELECTOR


# Oracles


@given(transactions(), st.integers(1, SECP256K1_ORDER - 1))
def test_s_20_raw_bytes_and_hashes_equal_those_of_eth_account(tx: FeeMarketTransaction, key: int) -> None:
    oracle = Account.sign_transaction(as_dictionary(tx), key.to_bytes(32, "big"))
    raw = encoding.serialize_signed(tx, oracle.v, oracle.r, oracle.s)
    assert raw == oracle.raw_transaction
    assert encoding.transaction_hash(raw) == oracle.hash
    assert encoding.signing_hash(tx) == TypedTransaction.from_dict(as_dictionary(tx)).hash()
    assert encoding.decode_signed(raw) == (tx, oracle.v, oracle.r, oracle.s)


@given(TREES)
def test_rlp_equals_the_rlp_package_and_round_trips(tree: Any) -> None:
    encoded = encoding.rlp_encode(tree)
    assert encoded == rlp.encode(tree)
    assert encoding.rlp_encode(encoding.rlp_decode(encoded)) == encoded


@given(st.binary(max_size=64) | st.binary(max_size=1).map(lambda tail: b"\xb8\x38" + bytes(56) + tail))
def test_rlp_decode_accepts_only_what_encodes_to_the_same_bytes(data: bytes) -> None:
    try:
        decoded = encoding.rlp_decode(data)
    except MalformedTransaction:
        with pytest.raises(rlp.exceptions.DecodingError):
            rlp.decode(data, strict=True)
        return
    assert encoding.rlp_encode(decoded) == data


@given(WORDS)
def test_rlp_integers_equal_the_rlp_package(number: int) -> None:
    assert encoding.rlp_encode(number) == rlp.encode(number)


@pytest.mark.parametrize("length", [0, 1, 55, 56, 255, 256, 65_535, 65_536])
def test_rlp_at_the_edges_of_its_length_forms(length: int) -> None:
    data = b"\xff" * length
    assert encoding.rlp_encode(data) == rlp.encode(data)
    assert encoding.rlp_decode(encoding.rlp_encode([data])) == (data,)


@given(st.binary(max_size=300))
def test_personal_message_equals_eth_account(message: bytes) -> None:
    signable = encode_defunct(message)
    oracle = keccak(b"\x19" + signable.version + signable.header + signable.body)
    assert encoding.personal_message_hash(message) == oracle


@given(ADDRESSES)
def test_checksum_text_equals_eth_utils(address: bytes) -> None:
    assert encoding.checksum_address_text(address) == to_checksum_address(address)


# What is refused


@pytest.mark.parametrize(
    "encoded",
    [
        "",  # nothing
        "8100",  # a header on 0x00
        "817f",  # a header on 0x7f
        "83aabb",  # cut off
        "8080",  # trailing bytes
        "b8",  # no length
        "b80100",  # long form of a short length
        "b837" + "11" * 55,  # long form of 55
        "b90038" + "11" * 56,  # length with a leading zero
        "b838" + "11" * 55,  # cut off
        "bfffffffffffffffff00",  # a length beyond all memory
        "f8",  # no length
        "f83700",  # long form of a short list
        "f90038" + "80" * 56,  # list length with a leading zero
        "c281",  # list cut off
        "c18180",  # list ends before its item does
        "c1b8",  # item's length is outside its list
        "c2b838" + "11" * 56,  # item reaches out of its list
    ],
)
def test_rlp_decode_refuses_what_is_not_canonical(encoded: str) -> None:
    with pytest.raises(MalformedTransaction):
        encoding.rlp_decode(bytes.fromhex(encoded))


def test_rlp_decode_refuses_deep_nesting_without_exhausting_the_stack() -> None:
    nested = b"\xc0"
    for _ in range(2_000):
        string = encoding.rlp_encode(nested)
        header_length = len(string) - len(nested)
        # A list's header is a string's, 0x40 higher.
        nested = bytes((string[0] + 0x40,)) + string[1:header_length] + nested if header_length else b"\xc1" + nested
    with pytest.raises(MalformedTransaction, match="deep"):
        encoding.rlp_decode(nested)


@pytest.mark.parametrize("item", [-1, 2**256, True, None, "text", bytearray(b"x"), 1.0, [b"", None]])
def test_rlp_encode_refuses_what_has_no_form(item: Any) -> None:
    with pytest.raises(MalformedTransaction):
        encoding.rlp_encode(item)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("chain_id", 0),
        ("chain_id", 2**64),
        ("nonce", -1),
        ("nonce", U64_MAX),
        ("nonce", True),
        ("max_fee_per_gas", 2**256),
        ("max_fee_per_gas", 0),  # below the priority fee
        ("max_priority_fee_per_gas", -1),
        ("max_priority_fee_per_gas", 3),  # above the fee
        ("gas_limit", 2**64),
        ("gas_limit", 21_000.0),
        ("value", -1),
        ("value", 2**256),
        ("value", "1"),
        ("to", b""),  # contract creation
        ("to", bytes(19)),
        ("to", bytes(21)),
        ("to", "0x" + "cc" * 20),
        ("data", "0x"),
        ("data", None),
        ("access_list", None),
        ("access_list", []),
        ("access_list", ((bytes(20),),)),
        ("access_list", ((bytes(19), ()),)),
        ("access_list", ((bytes(20), (bytes(31),)),)),
        ("access_list", ((bytes(20), [bytes(32)]),)),
        ("access_list", ([bytes(20), ()],)),
    ],
)
def test_a_transaction_out_of_range_cannot_be_made(field: str, value: Any) -> None:
    fields = {name: getattr(PLAIN, name) for name, a in attrs.fields_dict(FeeMarketTransaction).items() if a.init}
    with pytest.raises(MalformedTransaction, match=field):
        FeeMarketTransaction(**{**fields, field: value})


MALFORMED_SIGNATURES = [
    (0, 0, 1),
    (0, 1, 0),
    (0, SECP256K1_ORDER, 1),
    (0, U256_MAX, 1),
    (0, -1, 1),
    (0, 1, LOW_S_MAX + 1),
    (0, 1, SECP256K1_ORDER - 1),
    (0, 1, SECP256K1_ORDER),
    (0, 1, U256_MAX),
    (0, 1, -1),
    (2, 1, 1),
    (27, 1, 1),
    (-1, 1, 1),
]


@pytest.mark.parametrize(("y_parity", "r", "s"), MALFORMED_SIGNATURES)
def test_s_20_malformed_signatures_are_never_written_nor_read(y_parity: int, r: int, s: int) -> None:
    with pytest.raises(MalformedSignature):
        encoding.serialize_signed(PLAIN, y_parity, r, s)
    if min(y_parity, r, s) >= 0:
        with pytest.raises(MalformedSignature):
            encoding.decode_signed(_raw_of([*_fields(), y_parity, r, s]))


@pytest.mark.parametrize(("y_parity", "r", "s"), [(0, 1, 1), (1, SECP256K1_ORDER - 1, LOW_S_MAX)])
def test_signatures_at_the_edges_are_accepted(y_parity: int, r: int, s: int) -> None:
    raw = encoding.serialize_signed(PLAIN, y_parity, r, s)
    assert encoding.decode_signed(raw) == (PLAIN, y_parity, r, s)


def _fields() -> list[Any]:
    return [1, 0, 1, 2, 21_000, b"\xcc" * 20, 10**18, b"", []]


def _raw_of(fields: list[Any]) -> bytes:
    return b"\x02" + encoding.rlp_encode(fields)


@pytest.mark.parametrize("index", [0, 1, 2, 3, 4, 6, 9, 10, 11])
@pytest.mark.parametrize("number", [b"\0", b"\0\1", [], [1]])
def test_decode_refuses_integers_with_leading_zeros_and_lists(index: int, number: Any) -> None:
    fields = [*_fields(), 1, 1, 1]
    fields[index] = number
    with pytest.raises(MalformedTransaction):
        encoding.decode_signed(_raw_of(fields))


@pytest.mark.parametrize("index", [5, 7])
def test_decode_refuses_a_list_for_bytes(index: int) -> None:
    fields = [*_fields(), 1, 1, 1]
    fields[index] = []
    with pytest.raises(MalformedTransaction):
        encoding.decode_signed(_raw_of(fields))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x02",
        b"\x02\x80",
        _raw_of(_fields()),  # unsigned
        _raw_of([*_fields(), 1, 1, 1, 1]),
        b"\x01" + _raw_of([*_fields(), 1, 1, 1])[1:],
        b"\x03" + _raw_of([*_fields(), 1, 1, 1])[1:],
        _raw_of([*_fields(), 1, 1, 1])[1:],
        _raw_of([*_fields(), 1, 1, 1]) + b"\0",
        _raw_of([*_fields(), 1, 1, 1])[:-1],
        _raw_of([*_fields()[:5], b"", *_fields()[6:], 1, 1, 1]),  # contract creation
        _raw_of([*_fields()[:8], b"", 1, 1, 1]),  # access list is a string
    ],
)
def test_decode_refuses_other_forms(raw: bytes) -> None:
    with pytest.raises(MalformedTransaction):
        encoding.decode_signed(raw)


@given(transactions(), st.data())
def test_decode_of_damaged_bytes_is_refused_or_means_those_very_bytes(tx: FeeMarketTransaction, data: st.DataObject) -> None:
    raw = bytearray(encoding.serialize_signed(tx, 1, 2**255 - 19, 2**254 + 1))
    position = data.draw(st.integers(0, len(raw) - 1))
    raw[position] ^= data.draw(st.integers(1, 255))
    try:
        decoded = encoding.decode_signed(bytes(raw))
    except (MalformedTransaction, MalformedSignature):
        return
    assert encoding.serialize_signed(*decoded) == raw


def test_equality_and_text_of_a_transaction_are_those_of_its_fields() -> None:
    assert attrs.evolve(PLAIN, nonce=1) != PLAIN
    assert attrs.evolve(PLAIN, nonce=0) == PLAIN
    assert encoding.signing_hash(attrs.evolve(PLAIN, nonce=1)) != encoding.signing_hash(PLAIN)
    assert "encoded_fields" not in repr(PLAIN)


# Contract data


@given(ADDRESSES, WORDS)
def test_transfer_calldata_equals_eth_abi_and_round_trips(to: bytes, amount: int) -> None:
    calldata = encoding.erc20_transfer_calldata(to, amount)
    assert calldata[4:] == abi_encode(["address", "uint256"], [to, amount])
    assert encoding.decode_erc20_transfer(calldata) == (to, amount)


@pytest.mark.parametrize(("to", "amount"), [(bytes(19), 1), (bytes(20), -1), (bytes(20), 2**256)])
def test_transfer_calldata_refuses_what_does_not_fit(to: bytes, amount: int) -> None:
    with pytest.raises(MalformedTransaction):
        encoding.erc20_transfer_calldata(to, amount)


def test_only_the_exact_transfer_form_is_read_as_one() -> None:
    calldata = encoding.erc20_transfer_calldata(b"\xcc" * 20, 5)
    unclean = calldata[:4] + b"\1" + calldata[5:]
    for other in (b"", calldata[:-1], calldata + b"\0", calldata[:4], b"\0" + calldata[1:], unclean):
        assert encoding.decode_erc20_transfer(other) is None


def test_address_word() -> None:
    assert encoding.decode_address_word(bytes(12) + b"\xcc" * 20) == b"\xcc" * 20
    for other in (b"", bytes(31), bytes(33), bytes(11) + b"\1" + bytes(20)):
        assert encoding.decode_address_word(other) is None


@given(st.text(st.characters(categories=("L", "N", "P", "Zs"), exclude_characters="\u00a0"), max_size=200))
def test_revert_text_is_read_as_eth_abi_writes_it(text: str) -> None:
    data = encoding.ERROR_SELECTOR + abi_encode(["string"], [text])
    assert encoding.decode_revert_reason(data) == "".join(filter(str.isprintable, text))


def test_revert_text_is_bounded_and_cannot_steer_a_terminal() -> None:
    text = "a\x1b[31m\n\u202eb\0" + "x" * 10_000
    reason = encoding.decode_revert_reason(encoding.ERROR_SELECTOR + abi_encode(["string"], [text]))
    assert reason is not None
    assert reason.startswith("a[31mbxxx")
    assert len(reason) == encoding.REVERT_REASON_LENGTH_MAX


def test_panic_names_its_cause() -> None:
    overflow = encoding.PANIC_SELECTOR + (0x11).to_bytes(32, "big")
    assert encoding.decode_revert_reason(overflow) == "panic 0x11: arithmetic overflow or underflow"
    unheard = encoding.PANIC_SELECTOR + b"\xff" * 32
    assert encoding.decode_revert_reason(unheard) == "panic with an unknown code"


@given(st.binary(max_size=200).map(lambda tail: encoding.ERROR_SELECTOR + tail) | st.binary(max_size=200))
def test_revert_data_of_strangers_never_raises(data: bytes) -> None:
    reason = encoding.decode_revert_reason(data)
    assert reason is None or reason.isprintable()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        encoding.ERROR_SELECTOR,
        encoding.ERROR_SELECTOR + (32).to_bytes(32, "big") + (5).to_bytes(32, "big") + b"abcd",
        encoding.ERROR_SELECTOR + (64).to_bytes(32, "big") + (1).to_bytes(32, "big") + b"a",
        encoding.ERROR_SELECTOR + (32).to_bytes(32, "big") + b"\xff" * 32,
        encoding.PANIC_SELECTOR + bytes(31),
        encoding.PANIC_SELECTOR + bytes(33),
        b"\xde\xad\xbe\xef" + bytes(32),  # a custom error
    ],
)
def test_other_revert_data_has_no_reason(data: bytes) -> None:
    assert encoding.decode_revert_reason(data) is None
